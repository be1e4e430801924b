"""Whoever watches a training hears of each epoch once, whole, as it ends."""

import json
import math

from stages.artifacts.model import Epoch
from stages.learning import report

EPOCHS = [
    Epoch(
        epoch=n,
        lr=0.1,
        train_loss=1 / n,
        val_loss=2 / n,
        val_auroc=n / 4,
        val_auprc=n / 5,
        val_balanced_accuracy=n / 6,
    )
    for n in (1, 2, 3)
]


def test_epochs_are_read_as_they_end(workspace):
    path, others = workspace / "epochs.jsonl", []
    reader = report.Reader(path)
    assert reader.new() == []
    told = report.into(str(path), others.append)
    told(EPOCHS[0])
    assert reader.new() == EPOCHS[:1]
    assert reader.new() == []
    told(EPOCHS[1])
    told(EPOCHS[2])
    assert reader.new() == EPOCHS[1:]
    assert others == EPOCHS


def test_a_line_that_is_still_being_written_waits(workspace):
    path = workspace / "epochs.jsonl"
    reader = report.Reader(path)
    line = json.dumps(EPOCHS[0])
    path.write_text(line[:20])
    assert reader.new() == []
    path.write_text(line + "\n" + line[:5])
    assert reader.new() == EPOCHS[:1]


def test_an_auroc_that_is_undefined_is_told_too(workspace):
    path = workspace / "epochs.jsonl"
    report.into(str(path), lambda _: None)(EPOCHS[0] | {"val_auroc": float("nan")})
    (read,) = report.Reader(path).new()
    assert math.isnan(read["val_auroc"])


def test_where_nobody_watches_nothing_is_written(workspace):
    def heard(_: Epoch) -> None: ...

    assert report.into("", heard) is heard
    assert list(workspace.iterdir()) == []
