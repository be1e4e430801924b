"""The ``split`` section of params.yaml: what is labelled, how, and how patients are divided."""

from typing import Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field, model_validator

from stages.artifacts.cohort import Task
from stages.params import Section


class Fractions(Section):
    """Of patients, for each side; they add up to 1."""

    train: float = Field(gt=0, lt=1)
    val: float = Field(gt=0, lt=1)
    test: float = Field(gt=0, lt=1)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-6:  # noqa: PLR2004 - rounding of decimal fractions
            raise ValueError(f"train, val and test must add up to 1, and make {total:g}")
        return self


class External(Section):
    """What is held out whole, to learn how a model does elsewhere: never trained, tuned or calibrated on."""

    batches: list[str] = Field(default=[])
    """Names of ``batches``."""

    sites: list[str] = Field(default=[])
    """Keyed hashes of institutions, as the column ``site`` of the index and the reports' subgroups name them."""

    @property
    def named(self) -> bool:
        """Whether it names anything."""
        return bool(self.batches or self.sites)

    def held_out(self, images: pd.DataFrame) -> npt.NDArray[np.bool_]:
        """(N,) which of the images (columns ``batch`` and ``site``) it names."""
        named = {column: names for column, names in (("batch", self.batches), ("site", self.sites)) if names}
        found = np.zeros(len(images), dtype=bool)
        for column, names in named.items():
            found |= images[column].isin(names).to_numpy()
        return found


class SplitParams(Section):
    """Labels and sides."""

    labels: str = Field(min_length=1)
    """The table of labels, CSV, from the top of the repository."""

    key: Literal["SOPInstanceUID", "StudyInstanceUID", "PatientID"]
    """The column that names what a row labels: an image, all images of a study, or all of a patient."""

    task: Task = Field(strict=False)
    """binary and multiclass: a column ``label`` holds a class. multilabel: a column per class holds 1, 0 or nothing."""

    classes: list[str] = Field(min_length=1)
    """In the order of the model's outputs; of a binary task the second is the positive one."""

    fractions: Fractions

    external: External = External()
    """Batches and sites held out whole; none if not given."""

    unlabelled: Literal["error", "ignore"] = "error"
    """Images that the table does not label: refuse, or leave them out of the cohort."""

    unknown_labels: Literal["error", "ignore"] = "error"
    """Labels of images that no batch holds (and that are not in quarantine): refuse, or ignore them."""

    @model_validator(mode="after")
    def _classes_fit_the_task(self) -> Self:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes: a name stands twice: name each class once")
        if self.task is Task.BINARY and len(self.classes) != 2:  # noqa: PLR2004 - what binary means
            raise ValueError(f"a binary task has two classes, and classes names {len(self.classes)}")
        if self.task is Task.MULTICLASS and len(self.classes) < 3:  # noqa: PLR2004 - else it is binary
            raise ValueError("a multiclass task has three classes or more: use task: binary for two")
        return self
