"""Prediction sets that hold the truth as often as they promise: split-conformal prediction, calibrated on val.

The sets are those of the least ambiguous classifier (LAC; Sadinle, Lei and Wasserman, JASA 2019): all answers whose
probability is at least 1 - q. They are the smallest on average that keep the promise. Adaptive sets (APS; Romano, Sesia
and Candes, NeurIPS 2020) spread errors more evenly, but are larger, and exact only by drawing lots for each image: the
same image would get another answer the next day. An empty set is a warning: the image is like none that val knew.

The promise is about a new patient's image: q is the quantile of hierarchical conformal prediction (Lee, Barber and
Willett 2023, arXiv 2306.06342), where each patient of val counts once, however many images there are; with one image
per patient it is the usual ceil((n + 1) c)-th smallest. It holds if val, test and whoever comes next are alike, and if
val had no part in the model. Here val chose the epoch and the temperature too, and a shift in time or place is no
likeness: so what was promised is compared with what test shows.

A multi-label task has a set of {no, yes} for each label.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stages.artifacts.cohort import Task
from stages.judging import bootstrap, bundle, shares
from stages.judging.bootstrap import Floats, Interval, Resamples
from stages.judging.metrics import Judged

METHOD = "lac"
FACTS = ("coverage", "size", "single", "empty")
_STEPS = 10**6

Means = dict[str, tuple[Floats, int]]
"""By fact (B) means, the first of the data as they are, and the number of patients they are of."""
_ALL = "all"  # the name of the one question of a task whose classes are exclusive


def calibrate(val: Judged, patients: npt.NDArray[np.intp], coverage: float) -> dict[str, Any]:
    """``{"method": "lac", "coverage": c, "quantiles": {label: q}}`` from val, its patients numbered.

    Of exclusive classes there is one quantile, named ``all``. Where val has fewer patients than the promise needs,
    c / (1 - c), it is 1, and every set is of all answers.
    """
    quantiles = {
        asked.name: quantile(1 - asked.scores[asked.truth], patients[asked.rows], coverage) for asked in _questions(val)
    }
    return {"method": METHOD, "coverage": coverage, "quantiles": quantiles}


def quantile(unlikeliness: Floats, patients: npt.NDArray[np.intp], coverage: float) -> float:
    """Of (n) values from 0 to 1, the smallest that the next patient's keeps below with probability ``coverage``.

    Each patient's images share a weight of 1 / (patients + 1); the rest is the next patient's, who may be anything.
    Rounded up to six digits, as it is written down.
    """
    names, cluster, sizes = np.unique(patients, return_inverse=True, return_counts=True)
    order = np.argsort(unlikeliness, kind="stable")
    reached = np.cumsum((1 / sizes)[cluster[order]])
    enough = reached >= coverage * (len(names) + 1) - 1e-9  # what sums of fractions are off by
    if not enough.any():
        return 1.0
    return min(1.0, math.ceil(float(unlikeliness[order][int(enough.argmax())]) * _STEPS) / _STEPS)


def sets(scores: Floats, quantile: float) -> npt.NDArray[np.bool_]:
    """(N, K) which answers are in the set of each image, from their (N, K) probabilities.

    Of a label of a multi-label task the answers are no and yes: ``[1 - p, p]``.
    """
    inside: npt.NDArray[np.bool_] = 1 - scores <= quantile
    return inside


def judge(images: Judged, calibrated: Mapping[str, Any], resamples: Resamples) -> dict[str, Any]:
    """How the sets of :func:`calibrate` do on other images; every patient counts once.

    ``{"coverage", "size", "single", "empty": entries, "per_class": {class: {the same}}}``: the share of sets that hold
    the truth, how many answers a set holds on average, and the share of sets with one answer and with none.
    ``per_class`` is of the images of that class: a promise kept on average can be broken for a rare one. Of several
    labels these are means over labels; ``per_class`` has each label, and in it the images that have it, ``yes``, and
    those that have not, ``no``.
    """
    questions = list(_questions(images))
    inside = [sets(asked.scores, calibrated["quantiles"][asked.name]) for asked in questions]
    columns = [_columns(asked, chosen, resamples) for asked, chosen in zip(questions, inside, strict=True)]
    sums = bundle.sums(resamples, ((asked.rows, values) for asked, values in zip(questions, columns, strict=True)))
    means = [_means(found, asked, resamples) for found, asked in zip(sums, questions, strict=True)]
    if images.task is not Task.MULTILABEL:
        everyone, *classes = means[0]
        return {**_entries(everyone), "per_class": dict(zip(images.classes, map(_entries, classes), strict=True))}
    overall = {
        fact: (np.mean([label[0][fact][0] for label in means], axis=0), min(label[0][fact][1] for label in means))
        for fact in FACTS
    }
    per_class = {
        asked.name: {**_entries(everyone), "no": _entries(no), "yes": _entries(yes)}
        for asked, (everyone, no, yes) in zip(questions, means, strict=True)
    }
    return {**_entries(overall), "per_class": per_class}


class _Question(NamedTuple):
    """What is asked of images: its name, the rows whose answer is known, and (n, answers) probabilities and truth."""

    name: str
    rows: npt.NDArray[np.intp]
    scores: Floats
    truth: npt.NDArray[np.bool_]

    def groups(self) -> list[npt.NDArray[np.bool_]]:
        """(n) each: all images, then those of each answer."""
        return [np.ones(len(self.rows), dtype=np.bool_), *self.truth.T]


def _questions(images: Judged) -> Iterator[_Question]:
    if images.task is not Task.MULTILABEL:
        yield _Question(_ALL, np.arange(len(images.labels)), images.scores, images.labels == 1)
        return
    for k, name in enumerate(images.classes):
        rows = np.flatnonzero(~np.isnan(images.labels[:, k]))
        yes, chance = images.labels[rows, k] == 1, images.scores[rows, k]
        yield _Question(name, rows, np.stack([1 - chance, chance], axis=1), np.stack([~yes, yes], axis=1))


def _columns(asked: _Question, inside: npt.NDArray[np.bool_], resamples: Resamples) -> Floats:
    """(n, groups (1 + facts)): for each group a weight, and it times each fact; 0 for images that are not of it.

    Each patient's images have the weight 1 together, in every group alike, so that all is the mean of its groups.
    """
    size = inside.sum(axis=1)
    facts = np.stack([np.ones_like(size), (inside & asked.truth).any(axis=1), size, size == 1, size == 0], axis=1)
    member = resamples.member[asked.rows]
    weights = 1 / np.bincount(member, minlength=resamples.counts.shape[1])[member]
    columns = [(group * weights)[:, None] * facts for group in asked.groups()]
    return np.hstack(columns)


def _means(sums: Floats, asked: _Question, resamples: Resamples) -> list[Means]:
    """For each group the mean of each fact, from the sums of :func:`_columns`."""
    found: list[Means] = []
    groups = asked.groups()
    for group, part in zip(groups, np.split(sums, len(groups), axis=1), strict=True):
        patients = len(np.unique(resamples.member[asked.rows[group]]))
        with np.errstate(invalid="ignore", divide="ignore"):
            found.append({fact: (part[:, at] / part[:, 0], patients) for at, fact in enumerate(FACTS, start=1)})
    return found


def _entries(means: Means) -> dict[str, Interval]:
    return {
        fact: bootstrap.interval(draws) if fact == "size" else shares.interval(draws, patients)
        for fact, (draws, patients) in means.items()
    }
