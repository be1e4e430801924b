"""One trial: a DVC experiment up to the trained model, watched epoch by epoch, and ended when it is not worth more."""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline import subprocesses
from pipeline.sweep.clone import Clone
from pipeline.text import nameless
from stages import runtime
from stages.artifacts import model
from stages.artifacts.model import Epoch
from stages.learning.report import Reader

_LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: with a model, ended early, or with a reason why there is no model."""

    val_auroc: float | None = None
    reason: str = ""


def run(clone: Clone, experiment: str, recipe: str, folder: Path, worth_it: Callable[[Epoch], bool]) -> Outcome:
    """Train in ``clone``, as it was renewed; ``worth_it`` hears of every epoch and says whether to go on.

    If this is interrupted, what the training reached stays in ``clone``, and the same trial goes on from there. What
    becomes of a trial depends on its epochs alone, not on how fast they are read.

    What DVC says goes to a log file in ``folder``. Whatever ends this ends the trial's processes, all of them, first.
    """
    outcome = _trained(clone, experiment, recipe, folder, worth_it)
    if outcome.val_auroc is None:
        shutil.rmtree(clone.folder / runtime.work(f"finetune@{recipe}"), ignore_errors=True)  # nobody goes on with it
    return outcome


def _trained(clone: Clone, experiment: str, recipe: str, folder: Path, worth_it: Callable[[Epoch], bool]) -> Outcome:
    reported = folder.resolve() / "epochs.jsonl"
    reported.unlink(missing_ok=True)
    reader = Reader(reported)
    log = folder / "logs" / f"{experiment}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    # up to the trained model and no further: 'evaluate' would look at test
    command = subprocesses.dvc("exp", "run", "--name", experiment, f"finetune@{recipe}")
    told = {"RADREPRO_EPOCHS": str(reported), "RADREPRO_LIVE": "false"}
    with log.open("w", encoding="utf-8") as output:
        process = subprocesses.start(command, told, output, clone.folder)
        try:
            while True:
                ended = process.poll() is not None
                if not all(worth_it(epoch) for epoch in reader.new()):
                    subprocesses.end(process)
                    return Outcome()
                if ended:
                    break
                time.sleep(_LOOK_SECONDS)
        except BaseException:
            subprocesses.end(process)
            raise
    if process.returncode != 0:
        return Outcome(reason=_reason(log))
    training = json.loads((clone.folder / model.training_path(recipe)).read_text(encoding="utf-8"))
    history = pd.read_csv(clone.folder / model.history_path(recipe))
    epochs = [Epoch(**{**row, "epoch": int(row["epoch"])}) for row in history.to_dict("records")]  # type: ignore[typeddict-item]
    if not all(worth_it(epoch) for epoch in epochs):
        return Outcome()  # not watched, for DVC brought it back from its run cache: it ends as if it had been
    clone.hand_over(experiment)
    return Outcome(training["val_auroc"])


def _reason(log: Path) -> str:
    """The stage's own line, or else the last of DVC's."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8").splitlines() if line.strip()]
    said = [line.partition(": error: ")[2] for line in lines if ": error: " in line]
    said = said or [line for line in lines if line.startswith("ERROR:")] or lines[-1:]
    return f"{nameless(said[-1])} ({log})" if said else f"it ended without a word ({log})"
