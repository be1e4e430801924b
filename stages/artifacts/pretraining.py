"""``reports/pretrain/<name>/``: how self-supervised training went: ``loss.csv``, ``probe.csv``, ``pretraining.json``.

The weights that it made lie where every starting point lies: :mod:`stages.artifacts.weights`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import pandas as pd


class Pass(TypedDict):
    """One epoch."""

    epoch: int  # from 1
    lr: float  # of the last batch
    loss: float  # mean over the images


class Probe(TypedDict):
    """How well a linear probe on the frozen backbone tells the classes of val."""

    epoch: int  # after which the backbone was judged; 0: as it was at the start
    val_auroc: float


class Pretraining(TypedDict):
    """What was done: only what is the same every time (seconds are in the run record)."""

    method: str
    weights: str  # the name of the starting weights
    source: str  # of the result: the chain of all that made it
    architecture: str
    images: int  # in an epoch
    unlabelled: int  # of these
    patients: int  # whose images they are
    epochs: int
    images_seen: int
    loss: float  # of the last epoch
    val_auroc_at_start: float
    val_auroc: float  # of the result
    parameters: int  # of the backbone
    device: str  # cpu or cuda
    precision: str  # fp32, bf16 or fp16


def directory(name: str) -> Path:
    """Where what is told of one training lies."""
    return Path("reports/pretrain") / name


def loss_path(name: str) -> Path:
    """One row per epoch, :class:`Pass`."""
    return directory(name) / "loss.csv"


def probe_path(name: str) -> Path:
    """One row per probe, :class:`Probe`."""
    return directory(name) / "probe.csv"


def record_path(name: str) -> Path:
    """:class:`Pretraining` as JSON."""
    return directory(name) / "pretraining.json"


def write_curve(path: Path, rows: Sequence[Pass] | Sequence[Probe]) -> None:
    """Write a table of one or more rows."""
    pd.DataFrame(list(rows)).to_csv(path, index=False, float_format="%.8g", lineterminator="\n")
