"""``data/cohort.parquet``: every labelled image, its patient's side of the split, and where to find its pixels."""

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from stages.artifacts import tables
from stages.runtime import atomic_file

PATH = Path("data/cohort.parquet")
EXCLUDED_PATH = Path("data/excluded.csv")
"""Images that are not in the cohort: ``image, batch, reason`` with a reason of :class:`Exclusion`."""

COLUMNS = [
    ("image", pa.string()),
    ("batch", pa.string()),
    ("row", pa.int64()),  # in that batch's pixels.npy
    ("instance", pa.string()),
    ("study", pa.string()),
    ("patient", pa.string()),
    ("group", pa.string()),  # patients who share a study or an image that looks the same: never on two sides
    ("subset", pa.string()),  # train, val, test or external
    ("site", pa.string()),
    ("manufacturer", pa.string()),
    ("modality", pa.string()),
    ("body_part", pa.string()),
    ("view", pa.string()),
    ("sex", pa.string()),
    ("age", pa.float32()),
    ("days", pa.int32()),  # since the patient's first study in any batch
    ("pixel_sha256", pa.string()),
    ("perceptual_hash", pa.string()),
]

TIES = ("patient", "study", "pixel_sha256", "perceptual_hash")
"""What two images must not share across sides: a person, a visit, or their looks."""


class Subset(StrEnum):
    """The sides of the split: three that patients are dealt to, and what ``split.external`` holds out whole."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"
    EXTERNAL = "external"


DEALT = (Subset.TRAIN, Subset.VAL, Subset.TEST)
"""The sides that every cohort has."""


class Task(StrEnum):
    """What a label says: one of two classes (the second is the positive one), one of several, or any of several."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    MULTILABEL = "multilabel"


class Exclusion(StrEnum):
    """Why an image is not in the cohort. The value is what the user should do about it."""

    UNLABELLED = "no label: add one to the table, or leave it for training without labels"
    DUPLICATE = "an earlier batch holds the same image: nothing to do"
    JOINS_SUBSETS = "it would tie patients of two subsets together: nothing to do, using it would leak"


@dataclass(frozen=True)
class Cohort:
    """Labelled images with a split that does not leak: a group on two sides cannot be constructed.

    Attributes
    ----------
    frame
        One row per image, the columns of ``COLUMNS`` plus one ``label:<class>`` per class: 0.0, 1.0, or NaN (unknown,
        multi-label only). Binary and multi-class rows hold exactly one 1.0.
    task, classes
        What the label columns mean, and their order.
    """

    frame: pd.DataFrame
    task: Task
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.frame["image"].is_unique:
            raise ValueError("an image is in the cohort twice")
        for kind in ("group", *TIES):
            sides = self.frame.groupby(kind)["subset"].nunique()
            leaks = sides[sides > 1].index.tolist()
            if leaks:
                named = ", ".join(leaks[:3])
                raise ValueError(f"the split leaks: {len(leaks)} {kind} keys are on two sides: {named}")

    @property
    def sides(self) -> tuple[Subset, ...]:
        """The sides there are: those of :data:`DEALT`, and external if something is held out."""
        return (*DEALT, *([Subset.EXTERNAL] if (self.frame["subset"] == Subset.EXTERNAL).any() else []))

    def subset(self, name: Subset) -> "Cohort":
        """The rows of one side, in order."""
        return Cohort(self.frame[self.frame["subset"] == name].reset_index(drop=True), self.task, self.classes)

    def labels(self) -> npt.NDArray[np.float32]:
        """(N, K) labels, NaN where unknown."""
        columns = self.frame[[f"label:{name}" for name in self.classes]]
        labels: npt.NDArray[np.float32] = columns.to_numpy(dtype=np.float32)
        return labels

    def counts(self) -> dict[str, Any]:
        """Images and patients of each side, and images of each class there."""
        return {
            name.value: {
                "images": len(side.frame),
                "patients": int(side.frame["patient"].nunique()),
                "classes": {c: int((side.frame[f"label:{c}"] == 1).sum()) for c in self.classes},
            }
            for name in self.sides
            for side in [self.subset(name)]
        }

    def write(self, path: Path = PATH) -> None:
        """Write the table; task and classes travel in its metadata."""
        metadata = {"task": self.task.value, "classes": json.dumps(self.classes)}
        tables.write(path, self.frame, _schema(self.classes).with_metadata(metadata))

    @staticmethod
    def write_excluded(frame: pd.DataFrame, path: Path = EXCLUDED_PATH) -> None:
        """Write the images left out: columns ``image, batch, reason``, the reason's name."""
        with atomic_file(path) as beside:
            frame[["image", "batch", "reason"]].to_csv(beside, index=False)

    @classmethod
    def read(cls, path: Path = PATH) -> "Cohort":
        """Read what :meth:`write` wrote. Raises :class:`~stages.runtime.UserError` if it is missing."""
        metadata = tables.metadata(path)
        classes = tuple(json.loads(metadata["classes"]))
        return cls(tables.read(path, _schema(classes)), Task(metadata["task"]), classes)


def _schema(classes: tuple[str, ...]) -> pa.Schema:
    return pa.schema([*COLUMNS, *((f"label:{name}", pa.float32()) for name in classes)])
