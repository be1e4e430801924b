"""What a model is worth on some images: every metric, under many weightings of the images at once.

Definitions (K classes; "macro" is the plain mean over classes):

- auroc, auprc: of the positive class (binary), macro one-against-rest (multi-class), macro over labels (multi-label).
- sensitivity, specificity: at thresholds chosen on val, of the positive class or macro as above.
- accuracy, balanced_accuracy, f1: binary at the threshold; multi-class by the most probable class, balanced accuracy
  being the mean recall and f1 macro; multi-label at the thresholds, macro.
- brier: mean squared error of the probability (Brier 1950): binary of the positive class, multi-class summed over
  classes, multi-label macro.

Unknown labels are left out, label by label.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.artifacts.cohort import Task
from stages.judging import ranking

Floats = npt.NDArray[np.floating]

NAMES = (
    "auroc",
    "auprc",
    "accuracy",
    "balanced_accuracy",
    "f1",
    "sensitivity",
    "specificity",
    "brier",
)


@dataclass(frozen=True)
class Judged:
    """Images with labels and scores, both (N, K) over all classes; of a binary task the second class is judged."""

    task: Task
    classes: tuple[str, ...]
    labels: Floats
    scores: Floats

    @property
    def columns(self) -> Sequence[int]:
        """The classes that count: the positive one of a binary task, otherwise all."""
        return [1] if self.task is Task.BINARY else range(len(self.classes))


def thresholds(judged: Judged) -> dict[str, float]:
    """For each class that counts, the threshold by Youden's rule on these images: those of val."""
    return {
        judged.classes[k]: ranking.youden(ranking.rank(judged.labels[:, k], judged.scores[:, k]))
        for k in judged.columns
    }


def per_class(judged: Judged, weights: Floats) -> dict[str, Floats]:
    """(B) AUROC of each class that counts, against the rest."""
    return {
        judged.classes[k]: ranking.auroc(ranking.rank(judged.labels[:, k], judged.scores[:, k]), weights)
        for k in judged.columns
    }


def all_metrics(judged: Judged, cuts: dict[str, float], weights: Floats) -> dict[str, Floats]:
    """Every metric of ``NAMES`` as (B), NaN where a weighting leaves a class without images.

    ``weights`` is (B, N): how often each image counts.
    """
    columns = list(judged.columns)
    ranked = [ranking.rank(judged.labels[:, k], judged.scores[:, k]) for k in columns]
    cut = np.array([cuts[judged.classes[k]] for k in columns])
    tables = [_table(judged.labels[:, k], judged.scores[:, k] >= c, weights) for k, c in zip(columns, cut, strict=True)]
    with np.errstate(invalid="ignore", divide="ignore"):
        sensitivity = _mean([t.hits / (t.hits + t.misses) for t in tables])
        specificity = _mean([t.passes / (t.passes + t.alarms) for t in tables])
        found = {
            "auroc": _mean([ranking.auroc(r, weights) for r in ranked]),
            "auprc": _mean([ranking.average_precision(r, weights) for r in ranked]),
            "sensitivity": sensitivity,
            "specificity": specificity,
            "brier": _brier(judged, weights),
        }
        if judged.task is Task.MULTICLASS:
            best = judged.scores.argmax(axis=1)
            exclusive = [_table(judged.labels[:, k], best == k, weights) for k in columns]
            right = sum((t.hits for t in exclusive), np.zeros(len(weights)))
            found["accuracy"] = right / weights.sum(axis=1)
            found["balanced_accuracy"] = _mean([t.hits / (t.hits + t.misses) for t in exclusive])
            found["f1"] = _mean([_f1(t) for t in exclusive])
        else:
            found["accuracy"] = _mean([(t.hits + t.passes) / t.total for t in tables])
            found["balanced_accuracy"] = (sensitivity + specificity) / 2
            found["f1"] = _mean([_f1(t) for t in tables])
    return {name: found[name] for name in NAMES}


@dataclass(frozen=True)
class _Table:
    """Weights of the four outcomes of a decision, each (B)."""

    hits: Floats
    misses: Floats
    alarms: Floats
    passes: Floats

    @property
    def total(self) -> Floats:
        return self.hits + self.misses + self.alarms + self.passes


def _table(labels: Floats, called: npt.NDArray[np.bool_], weights: Floats) -> _Table:
    outcomes = [(labels == 1) & called, (labels == 1) & ~called, (labels == 0) & called, (labels == 0) & ~called]
    hits, misses, alarms, passes = (weights @ outcome.astype(float) for outcome in outcomes)
    return _Table(hits, misses, alarms, passes)


def _f1(table: _Table) -> Floats:
    score: Floats = 2 * table.hits / (2 * table.hits + table.misses + table.alarms)
    score[table.hits + table.misses == 0] = np.nan  # a class that is not there has no score, rather than 0
    return score


def _brier(judged: Judged, weights: Floats) -> Floats:
    error = (judged.scores - judged.labels) ** 2
    parts = []
    for k in judged.columns:
        known = ~np.isnan(error[:, k])
        parts.append(weights[:, known] @ error[known, k] / weights[:, known].sum(axis=1))
    return np.sum(parts, axis=0) if judged.task is Task.MULTICLASS else _mean(parts)


def _mean(parts: Sequence[Floats]) -> Floats:
    """Over classes; NaN where a class has no value: a mean over fewer classes would be another metric."""
    mean: Floats = np.mean(parts, axis=0)
    return mean
