"""Test images that a recipe got most right and most wrong, class by class; and a word if it says the same of all."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.artifacts.cohort import Task
from stages.judging import curves
from stages.judging.metrics import Judged


class Case(NamedTuple):
    """One image in one group."""

    row: int  # of the images judged
    explained: int  # the class whose evidence a map of it shows: of exclusive classes the one that the model said
    caption: str


class Group(NamedTuple):
    """Cases of one class that the model got right, or wrong; the most confident first."""

    title: str
    cases: list[Case]


def constant(test: Judged, cuts: dict[str, float]) -> str:
    """A warning, if the model says the same of every image: its accuracy is then that of a stopped clock."""
    said = curves.decisions(test, cuts)["predicted"].unique()
    return f" It says '{said[0]}' of every test image: it has learnt nothing that decides." if len(said) == 1 else ""


def decided(test: Judged, cuts: dict[str, float]) -> npt.NDArray[np.intp]:
    """(N,) the class said of each image, of exclusive classes: by the threshold of two, the most probable of more."""
    if test.task is Task.BINARY:
        return (test.scores[:, 1] >= cuts[test.classes[1]]).astype(np.intp)
    most: npt.NDArray[np.intp] = test.scores.argmax(axis=1)
    return most


def believed(test: Judged) -> npt.NDArray[np.floating]:
    """(N, K) the probability that the model gave to what is true of each class; NaN where that is unknown."""
    sure = np.where(test.labels == 1, test.scores, 1 - test.scores)
    return np.where(np.isnan(test.labels), np.nan, sure)


def of_each_class(test: Judged, cuts: dict[str, float], most: int) -> list[Group]:
    """Groups that have a case: of every class those it got wrong, then those it got right, at most ``most`` of each.

    Of exclusive classes an image stands with the class that it is. Of labels, right are those found where they are,
    wrong those missed and those found where they are not.
    """
    groups = _of_labels(test, cuts) if test.task is Task.MULTILABEL else _of_exclusive(test, cuts)
    return [Group(title, found[:most]) for title, found in groups if found[:most]]


def _of_exclusive(test: Judged, cuts: dict[str, float]) -> list[Group]:
    actual, said = test.labels.argmax(axis=1), decided(test, cuts)
    sure = test.scores[np.arange(len(said)), said]
    groups = []
    for k, name in enumerate(test.classes):
        other = test.classes[1 - k] if test.task is Task.BINARY else "another"
        for kind, among in (
            (f"taken for {other}", (actual == k) & (said != k)),
            ("right", (actual == k) & (said == k)),
        ):
            cases = [
                Case(
                    row, int(said[row]), f"{name}; model says {test.classes[said[row]]} {_score(test, row, said[row])}"
                )
                for row in _ordered(among, -sure)
            ]
            groups.append(Group(f"{name}: {kind}, most confident first", cases))
    return groups


def _of_labels(test: Judged, cuts: dict[str, float]) -> list[Group]:
    probability = believed(test)
    groups = []
    for k, name in enumerate(test.classes):
        called, label = test.scores[:, k] >= cuts[name], test.labels[:, k]
        for kind, among, order in (
            ("missed, or found where it is not", ~np.isnan(label) & (called != (label == 1)), probability[:, k]),
            ("found", called & (label == 1), -probability[:, k]),
        ):
            cases = [
                Case(row, k, f"{name if label[row] == 1 else f'not {name}'}; model says {name} {_score(test, row, k)}")
                for row in _ordered(among, order)
            ]
            groups.append(Group(f"{name}: {kind}, most confident first", cases))
    return groups


def _ordered(among: npt.NDArray[np.bool_], order: npt.NDArray[np.floating]) -> list[int]:
    rows = np.flatnonzero(among)
    ordered: list[int] = rows[np.argsort(order[rows], kind="stable")].tolist()
    return ordered


def _score(test: Judged, row: int, k: int) -> str:
    return f"{test.scores[row, k]:.2f}"
