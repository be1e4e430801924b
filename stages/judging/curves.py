"""Curves of the test side as tables: for DVC's plots and for the report."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from stages.artifacts.cohort import Task
from stages.judging import ranking
from stages.judging.bootstrap import Resamples
from stages.judging.metrics import Judged

_MOST_POINTS = 400  # of a curve: more cannot be seen
_BAND = 300  # resamples that a band takes: more cannot be seen
_GRID = np.linspace(0, 1, 101)


def roc(judged: Judged) -> pd.DataFrame:
    """Columns ``class, fpr, tpr, threshold``."""
    parts = []
    for name, ranked in _ranked(judged):
        hits, alarms = ranking.curve(ranked, np.ones((1, len(judged.labels))))
        parts.append(
            pd.DataFrame(
                {
                    "class": name,
                    "fpr": np.append(0.0, alarms[0] / max(alarms[0, -1], 1)),
                    "tpr": np.append(0.0, hits[0] / max(hits[0, -1], 1)),
                    "threshold": np.append(1.0, ranked.scores),
                }
            ).pipe(_thinned)
        )
    return pd.concat(parts, ignore_index=True).round(6)


def precision_recall(judged: Judged) -> pd.DataFrame:
    """Columns ``class, recall, precision, threshold``."""
    parts = []
    for name, ranked in _ranked(judged):
        hits, alarms = ranking.curve(ranked, np.ones((1, len(judged.labels))))
        parts.append(
            pd.DataFrame(
                {
                    "class": name,
                    "recall": hits[0] / max(hits[0, -1], 1),
                    "precision": hits[0] / (hits[0] + alarms[0]),
                    "threshold": ranked.scores,
                }
            ).pipe(_thinned)
        )
    return pd.concat(parts, ignore_index=True).round(6)


def roc_band(judged: Judged, resamples: Resamples) -> pd.DataFrame:
    """Columns ``class, fpr, low, high``: the 95 % band of sensitivity at each false positive rate, over resamples."""
    parts = []
    for name, ranked in _ranked(judged):
        sensitivity = []
        for drawn in resamples.counts[1 : 1 + _BAND]:  # one at a time: a hundred thousand images at once are a gigabyte
            (hits,), (alarms,) = ranking.curve(ranked, drawn[None, resamples.member].astype(np.float64))
            if hits[-1] > 0 and alarms[-1] > 0:
                sensitivity.append(np.interp(_GRID, alarms / alarms[-1], hits / hits[-1]))
        low, high = np.percentile(sensitivity, (2.5, 97.5), axis=0) if sensitivity else (np.nan, np.nan)
        parts.append(pd.DataFrame({"class": name, "fpr": _GRID, "low": low, "high": high}))
    return pd.concat(parts, ignore_index=True).round(6)


def decisions(judged: Judged, cuts: dict[str, float]) -> pd.DataFrame:
    """Columns ``actual, predicted``, a row per image (a row per image and label of a multi-label task)."""
    if judged.task is Task.MULTICLASS:
        names = np.asarray(judged.classes)
        return pd.DataFrame({"actual": names[judged.labels.argmax(1)], "predicted": names[judged.scores.argmax(1)]})
    parts = []
    for k in judged.columns:
        known = ~np.isnan(judged.labels[:, k])
        name = judged.classes[k]
        other = judged.classes[0] if len(judged.columns) == 1 else f"not {name}"
        called = judged.scores[known, k] >= cuts[name]
        parts.append(
            pd.DataFrame(
                {
                    "actual": np.where(judged.labels[known, k] == 1, name, other),
                    "predicted": np.where(called, name, other),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _ranked(judged: Judged) -> Iterator[tuple[str, ranking.Ranking]]:
    for k in judged.columns:
        yield judged.classes[k], ranking.rank(judged.labels[:, k], judged.scores[:, k])


def _thinned(curve: pd.DataFrame) -> pd.DataFrame:
    if len(curve) <= _MOST_POINTS:
        return curve
    return curve.iloc[np.unique(np.linspace(0, len(curve) - 1, _MOST_POINTS).astype(int))]
