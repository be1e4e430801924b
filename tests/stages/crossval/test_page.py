"""What a reader of the page, or of the comparison, is told."""

import re

import numpy as np
import pytest

from stages.artifacts.cohort import Task
from stages.artifacts.crossval import JUDGED
from stages.artifacts.model import Training
from stages.crossval import page, pooling
from stages.reports import folds_section
from stages.reports import page as pages
from tests.stages.crossval.test_pooling import NAMES, SECTION, table

TRAINING = Training(
    strategy="full",
    weights="starter",
    architecture="resnet18",
    epochs=9,
    best_epoch=4,
    val_auroc=0.8,
    images_seen=900,
    trainable_parameters=10,
    parameters=10,
    device="cpu",
    precision="fp32",
    chosen={"c": 0.1},
)


@pytest.mark.parametrize("task", list(Task))
def test_the_page_says_what_crossval_json_says(task, tmp_path):
    frame = table(task)
    found = pooling.pool(frame, task, NAMES[task], SECTION, 7) | {"left_out": 2}
    made = page.build("mine", found, frame[frame["role"] == JUDGED], task, NAMES[task], [TRAINING] * 3)
    pages.write(tmp_path / "report.html", made)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    text = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    for side in (*found["folds"], found["mean"], found["pooled"]):
        assert folds_section.interval(side["auroc"]) in text
    assert f"{found['spread']['auroc']['sd']:.3f}" in text
    assert "90 patients" in text
    assert "180 images, each once" in text
    assert "2 images" in text
    assert "epoch 4, c 0.1" in text
    counted = NAMES[task][1:] if task is Task.BINARY else NAMES[task]
    assert [figure.name for figure in made.figures] == ["folds", *(f"roc-{k}" for k in range(len(counted)))]
    assert all(f'id="{figure.name}"' in html for figure in made.figures)
    lines = made.figures[1].data
    assert [line["name"] for line in lines] == ["chance", "fold 1", "fold 2", "fold 3"]
    area = np.trapezoid(lines[2]["y"], lines[2]["x"])
    assert area == pytest.approx(found["folds"][1]["per_class"][counted[0]]["auroc"]["value"], abs=1e-4)


def test_a_fold_without_a_value_is_shown_as_such(tmp_path):
    frame = table()
    lacking = (frame["role"] == JUDGED) & (frame["fold"] == 2)
    frame.loc[lacking, ["label:normal", "label:sick"]] = [1.0, 0.0]
    found = pooling.pool(frame, Task.BINARY, NAMES[Task.BINARY], SECTION, 7) | {"left_out": 0}
    judged = frame[frame["role"] == JUDGED]
    made = page.build("mine", found, judged, Task.BINARY, NAMES[Task.BINARY], [TRAINING] * 3)
    pages.write(tmp_path / "report.html", made)
    assert [fact.value for fact in made.facts[:2]] == ["undefined", "undefined"]
    assert made.tables[-1].rows[1][1] == "-"
    assert made.figures[0].data[0]["y"] == ["pooled", "fold 3", "fold 1"]


def test_the_comparisons_table_has_a_line_for_each_recipe():
    found = {
        name: pooling.pool(table(seed=seed), Task.BINARY, NAMES[Task.BINARY], SECTION, 7)
        for seed, name in enumerate(("one", "other"))
    }
    made = folds_section.comparison(found)
    assert [row[0] for row in made.rows] == [(name, f"folds/{name}/report.html") for name in found]
    for row, one in zip(made.rows, found.values(), strict=True):
        assert row[1] == folds_section.interval(one["mean"]["auroc"])
        assert row[4] == folds_section.interval(one["pooled"]["auroc"])
        assert row[2] == f"{one['spread']['auroc']['sd']:.3f}"
        assert row[5:] == ["90", "3"]
