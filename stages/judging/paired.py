"""Two models on the same images: is the difference more than chance?

Paired by patient: what makes an image hard makes it hard for both.
"""

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np
import numpy.typing as npt
from scipy import stats

from stages.artifacts.cohort import Task
from stages.judging import bootstrap, influence, metrics
from stages.judging.bootstrap import Interval, Resamples
from stages.judging.judge import areas
from stages.judging.metrics import Judged, Metrics

_FEW = 25


class Delong(TypedDict):
    """The difference in AUROC, and the probability of one as large by chance."""

    difference: Interval
    p: float | None


class Mcnemar(TypedDict):
    """Images that one of the two decides right and the other does not, and whether the two counts differ."""

    only_first: int
    only_second: int
    p: float | None


def delong(first: Judged, second: Judged, resamples: Resamples) -> Delong:
    """First less second (DeLong, DeLong and Clarke-Pearson 1988; of several images of a patient: Obuchowski 1997).

    Of several classes, of the mean over classes. p is None where a class has too few patients, or none of them says
    how far the difference may be off.
    """
    ours, theirs = (influence.mean(list(areas(side, resamples).values())) for side in (first, second))
    apart = influence.difference(ours, theirs)
    p = apart.p()
    return {
        "difference": apart.interval((-1, 1)),
        "p": None if np.isnan(p) else p,
    }


def differences(first: Metrics, second: Metrics, names: Sequence[str] = metrics.NAMES) -> dict[str, Interval]:
    """Of each metric, first less second, with the interval of a paired bootstrap: the same patients for both.

    Both are of the same draws (:func:`stages.judging.metrics.whole`).
    """
    return {name: bootstrap.interval(first[name] - second[name]) for name in names}


def mcnemar(
    first: Judged, second: Judged, cuts: tuple[Mapping[str, float], Mapping[str, float]], resamples: Resamples
) -> Mcnemar:
    """Whether the two decide right equally often (McNemar 1947; with several decisions of a patient: Durkalski 2003).

    A decision is an image's most probable class (multi-class), or each of its known labels at the threshold. The
    statistic is (sum of d)^2 / (sum of d^2), d being what only the first got right of a patient less what only the
    second did: McNemar's, uncorrected, for one decision a patient. Of fewer than 25 patients who differ, by one
    decision each, p is exact (binomial).
    """
    right = [_right(side, cut) for side, cut in zip((first, second), cuts, strict=True)]
    only_first, only_second = right[0] & ~right[1], right[1] & ~right[0]
    net = np.bincount(resamples.member, only_first.sum(axis=1) - only_second.sum(axis=1).astype(float))
    spread = float((net**2).sum())
    p: float | None = None
    if 0 < spread < _FEW and np.abs(net).max() == 1:
        p = float(stats.binomtest(int((net > 0).sum()), int(spread)).pvalue)
    elif spread:
        p = float(stats.chi2.sf(net.sum() ** 2 / spread, df=1))
    return {"only_first": int(only_first.sum()), "only_second": int(only_second.sum()), "p": p}


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusted so that all are right together (Holm 1979); None stays None, and does not count."""
    known = [at for at, p in enumerate(p_values) if p is not None]
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, at in enumerate(sorted(known, key=lambda at: p_values[at] or 0.0)):
        highest = max(highest, min(1.0, (len(known) - rank) * (p_values[at] or 0.0)))
        adjusted[at] = highest
    return adjusted


def _right(side: Judged, cuts: Mapping[str, float]) -> npt.NDArray[np.bool_]:
    """(N, D): of each image's decisions, which are right; one that cannot be judged is not."""
    if side.task is Task.MULTICLASS:
        return np.asarray(side.scores.argmax(axis=1) == side.labels.argmax(axis=1))[:, None]
    labels = side.labels[:, list(side.columns)]
    return np.asarray(side.called(cuts) == (labels == 1)) & ~np.isnan(labels)
