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
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.artifacts.cohort import Task
from stages.judging import bootstrap, shares
from stages.judging.bootstrap import Floats, Interval, Resamples
from stages.judging.metrics import Judged

METHOD = "lac"
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
        name: quantile(1 - scores[truth], patients[rows], coverage) for name, rows, scores, truth in _questions(val)
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

    ``{"coverage", "size", "single", "empty": entries, "per_class": {class: {...}}}``: the share of sets that hold the
    truth, how many answers a set holds on average, the share of sets with one answer and with none. ``per_class`` has,
    of exclusive classes, ``coverage`` and ``size`` of the images of that class (a promise kept on average may be broken
    for a rare class); of labels, all four, and ``coverage_yes``, ``coverage_no``; the means over labels are the total.
    """
    by_label: dict[str, Means] = {}
    for name, rows, scores, truth in _questions(images):
        members = resamples.part(rows)
        inside = sets(scores, calibrated["quantiles"][name])
        size: npt.NDArray[Any] = inside.sum(axis=1)
        held = {"coverage": np.asarray((inside & truth).any(axis=1))}
        sizes = {"size": size, "single": np.equal(size, 1), "empty": np.equal(size, 0)}
        means = _means(held | sizes, np.ones(len(rows)), members)
        if images.task is not Task.MULTILABEL:
            facts = held | {"size": size}
            classes = {c: _means(facts, truth[:, k], members) for k, c in enumerate(images.classes)}
            return {**_entries(means), "per_class": {c: _entries(found) for c, found in classes.items()}}
        answers = zip(("no", "yes"), truth.T, strict=True)
        by_label[name] = means | {f"coverage_{said}": _means(held, of, members)["coverage"] for said, of in answers}
    overall = {
        fact: (
            np.mean([means[fact][0] for means in by_label.values()], axis=0),
            min(m[fact][1] for m in by_label.values()),
        )
        for fact in ("coverage", "size", "single", "empty")
    }
    return {**_entries(overall), "per_class": {name: _entries(means) for name, means in by_label.items()}}


def _entries(means: Means) -> dict[str, Interval]:
    return {
        fact: bootstrap.interval(draws) if fact == "size" else shares.interval(draws, patients)
        for fact, (draws, patients) in means.items()
    }


def _questions(
    images: Judged,
) -> Iterator[tuple[str, npt.NDArray[np.intp], Floats, npt.NDArray[np.bool_]]]:
    """For each question its name, the rows whose answer is known, and (n, answers) probabilities and truth of these."""
    if images.task is not Task.MULTILABEL:
        yield _ALL, np.arange(len(images.labels)), images.scores, images.labels == 1
        return
    for k, name in enumerate(images.classes):
        rows = np.flatnonzero(~np.isnan(images.labels[:, k]))
        yes, chance = images.labels[rows, k] == 1, images.scores[rows, k]
        yield name, rows, np.stack([1 - chance, chance], axis=1), np.stack([~yes, yes], axis=1)


def _means(facts: Mapping[str, npt.NDArray[Any]], among: npt.NDArray[Any], resamples: Resamples) -> Means:
    """Mean of each fact, (n), over the images that are ``among``, each patient's having the weight 1 together."""
    chosen = among.astype(np.float64)
    images = np.bincount(resamples.member, weights=chosen, minlength=resamples.counts.shape[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        weights = np.where(chosen > 0, chosen / images[resamples.member], 0.0)
        sums = resamples.sums(np.stack([weights, *(weights * fact for fact in facts.values())], axis=1))
        patients = int(np.count_nonzero(images))
        return {name: (sums[:, at] / sums[:, 0], patients) for at, name in enumerate(facts, start=1)}
