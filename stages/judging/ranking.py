"""Metrics of a ranking (ROC, precision and recall) under many weightings of the same images at once.

A bootstrap resample is a weighting: an image counts as often as its patient was drawn. Scores are sorted once, then
every resample is a cumulative sum.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
_CELLS = 20_000_000  # of the largest array held at once


@dataclass(frozen=True)
class Ranking:
    """One label's images from the highest score down.

    Attributes
    ----------
    order
        (N) rows in order of falling score.
    ends
        (T) the last position of each run of equal scores: the points a threshold can reach.
    scores
        (T) the score there.
    positive
        (N) 1.0 or 0.0, in order.
    """

    order: npt.NDArray[np.intp]
    ends: npt.NDArray[np.intp]
    scores: Floats
    positive: Floats


def rank(labels: Floats, scores: Floats) -> Ranking:
    """Sort once. ``labels`` (N) of 1.0, 0.0 or NaN: an unknown label's image has no say, so its row is left out."""
    known = np.flatnonzero(~np.isnan(labels))
    order = known[np.argsort(-scores[known], kind="stable")]
    falling = scores[order]
    ends = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1) if len(falling) else np.empty(0, dtype=np.intp)
    return Ranking(order, ends, falling[ends], labels[order])


def auroc(ranking: Ranking, weights: Floats) -> Floats:
    """(B) area under the ROC curve by the trapezoid rule, which counts ties as one half (Hanley and McNeil 1982).

    NaN for a weighting without positives or without negatives. ``weights`` is (B, N) over the rows ranked.
    """
    return _each(_auroc, ranking, weights)


def average_precision(ranking: Ranking, weights: Floats) -> Floats:
    """(B) area under the precision-recall curve as a step function, sum of (R_n - R_n-1) P_n (scikit-learn's)."""
    return _each(_average_precision, ranking, weights)


def curve(ranking: Ranking, weights: Floats) -> tuple[Floats, Floats]:
    """Cumulative weight of positives and of negatives, each (B, T), from the highest threshold down."""
    given = weights[:, ranking.order]
    hits = np.cumsum(given * ranking.positive, axis=1)[:, ranking.ends]
    alarms = np.cumsum(given * (1 - ranking.positive), axis=1)[:, ranking.ends]
    return hits, alarms


def _auroc(ranking: Ranking, weights: Floats) -> Floats:
    hits, alarms = curve(ranking, weights)
    rise = np.diff(alarms, axis=1, prepend=0)
    height = hits - np.diff(hits, axis=1, prepend=0) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        area: Floats = (rise * height).sum(axis=1) / (hits[:, -1] * alarms[:, -1])
    return area


def _average_precision(ranking: Ranking, weights: Floats) -> Floats:
    hits, alarms = curve(ranking, weights)
    called = hits + alarms
    precision = np.divide(hits, called, out=np.zeros_like(hits), where=called > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        area: Floats = (np.diff(hits, axis=1, prepend=0) * precision).sum(axis=1) / hits[:, -1]
    area[alarms[:, -1] == 0] = np.nan  # without negatives there is nothing to tell apart
    return area


def _each(metric: object, ranking: Ranking, weights: Floats) -> Floats:
    assert callable(metric)
    if not len(ranking.order):
        return np.full(len(weights), np.nan)
    step = max(1, _CELLS // len(ranking.order))
    return np.concatenate([metric(ranking, weights[at : at + step]) for at in range(0, len(weights), step)])
