"""``models/<recipe>/``: ``model.safetensors`` (weights and header), ``history.csv`` per epoch, ``training.json``.

``folds/<recipe>/<fold>/`` holds the same of the models of cross-validation: one for each fold that is judged.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import pandas as pd

from stages.runtime import UserError


class Epoch(TypedDict):
    """One pass over train, and how the model then did on val."""

    epoch: int  # from 1
    lr: float  # of the last batch
    train_loss: float
    val_loss: float
    val_auroc: float
    val_auprc: float
    val_balanced_accuracy: float  # by the most probable class; of several labels, at 0.5


HISTORY_COLUMNS = list(Epoch.__annotations__)


class Calibration(TypedDict):
    """By what logits are divided before they become probabilities: see :mod:`stages.learning.temperature`."""

    temperature: float  # in the header of the weights too
    outcome: str  # fitted, limited or undetermined
    val_nll: float  # mean negative log-likelihood of val with it, in nats
    val_nll_uncalibrated: float  # and at temperature 1


class Training(TypedDict):
    """What training cost and when it stopped: only what is the same every time (seconds are in the run record)."""

    strategy: str
    weights: str  # the name of the starting weights
    architecture: str
    epochs: int  # run until early stopping
    best_epoch: int  # whose weights were kept, from 1; 0 where there are no epochs
    val_auroc: float  # of the model that was kept; of adabn's before it has the target's statistics
    images_seen: int
    trainable_parameters: int
    parameters: int
    device: str  # cpu or cuda
    precision: str  # fp32, bf16 or fp16
    chosen: dict[str, float]  # what validation chose besides the epoch, such as {"c": 0.01}
    calibration: Calibration  # of the model that was kept, by validation


def directory(recipe: str, fold: int | None = None) -> Path:
    """Where a recipe's model lies, or the one that is judged on ``fold``."""
    return Path("models") / recipe if fold is None else Path("folds") / recipe / str(fold)


def weights_path(recipe: str, fold: int | None = None) -> Path:
    """The classifier: see :mod:`stages.networks`."""
    return directory(recipe, fold) / "model.safetensors"


def history_path(recipe: str, fold: int | None = None) -> Path:
    """One row per epoch, ``HISTORY_COLUMNS``."""
    return directory(recipe, fold) / "history.csv"


def write_history(path: Path, epochs: Sequence[Epoch]) -> None:
    """Write the table; a header alone where there were no epochs."""
    frame = pd.DataFrame(list(epochs), columns=HISTORY_COLUMNS)
    frame.to_csv(path, index=False, float_format="%.8g", lineterminator="\n")


def training_path(recipe: str, fold: int | None = None) -> Path:
    """:class:`Training` as JSON."""
    return directory(recipe, fold) / "training.json"


def training(recipe: str, fold: int | None = None) -> Training:
    """Read :class:`Training`. Raises :class:`~stages.runtime.UserError` if it is missing."""
    try:
        content: Training = json.loads(training_path(recipe, fold).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{training_path(recipe, fold)} is not here: run 'dvc repro', or 'dvc pull' to fetch it"
        ) from None
    return content
