"""Test images that a recipe got most wrong and most right."""

import numpy as np
import numpy.typing as npt

from stages.artifacts.cohort import Task
from stages.judging import curves
from stages.judging.metrics import Judged
from stages.reports.page import Picture


def constant(test: Judged, cuts: dict[str, float]) -> str:
    """A warning, if the model says the same of every image: its accuracy is then that of a stopped clock."""
    said = curves.decisions(test, cuts)["predicted"].unique()
    return f" It says '{said[0]}' of every test image: it has learnt nothing that decides." if len(said) == 1 else ""


def _right(test: Judged, cuts: dict[str, float]) -> npt.NDArray[np.bool_]:
    """(N,) whether every known label of a test image was decided as it is."""
    if test.task is Task.MULTICLASS:
        same: npt.NDArray[np.bool_] = test.scores.argmax(axis=1) == test.labels.argmax(axis=1)
        return same
    columns = list(test.columns)
    called = test.scores[:, columns] >= [cuts[test.classes[k]] for k in columns]
    labels = test.labels[:, columns]
    return np.asarray((np.isnan(labels) | (called == (labels == 1))).all(axis=1))


def strips(
    test: Judged, cuts: dict[str, float], pixels: npt.NDArray[np.uint8], most: int
) -> list[tuple[str, list[Picture]]]:
    """The most confident right and wrong test images over the classes that count, at most ``most`` of each."""
    sure = np.where(test.labels == 1, test.scores, 1 - test.scores)[:, list(test.columns)]
    sure = np.where(np.isnan(test.labels[:, list(test.columns)]), np.nan, sure)
    worst, right = np.nanmin(sure, axis=1), _right(test, cuts)
    found = []
    for title, among, order in (
        ("Most confident and wrong", ~right, np.argsort(worst)),
        ("Most confident and right", right, np.argsort(-worst)),
    ):
        rows = [row for row in order if among[row]][:most]
        found.append((title, [Picture(pixels[row], _said(test, row)) for row in rows]))
    return [(title, pictures) for title, pictures in found if pictures]


def _said(test: Judged, row: int) -> str:
    actual = ", ".join(n for n, v in zip(test.classes, test.labels[row], strict=True) if v == 1) or "none"
    k = int(test.scores[row].argmax())
    return f"{actual}; model says {test.classes[k]} {test.scores[row, k]:.2f}"
