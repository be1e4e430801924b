"""What a model is worth on some images: every metric, of every resample of their patients at once.

Definitions (K classes; "macro" is the plain mean over classes):

- auroc, auprc: of the positive class (binary), macro one-against-rest (multi-class), macro over labels (multi-label).
- sensitivity, specificity, ppv, npv: at thresholds chosen on val, of the positive class or macro as above.
- accuracy, balanced_accuracy, f1: binary at the threshold; multi-class by the most probable class, balanced accuracy
  being the mean recall and f1 macro; multi-label at the thresholds, macro.
- brier: mean squared error of the probability (Brier 1950): binary of the positive class, multi-class summed over
  classes, multi-label macro.

Micro: all pairs of an image and a class in one heap, each decided at its class's threshold. Unknown labels are left
out, label by label.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.artifacts.cohort import Task
from stages.judging import ranking, resampled
from stages.judging.bootstrap import Floats, Resamples

NAMES = (
    "auroc",
    "auprc",
    "accuracy",
    "balanced_accuracy",
    "f1",
    "sensitivity",
    "specificity",
    "ppv",
    "npv",
    "brier",
)
Metrics = dict[str, Floats]
"""Each (B), NaN where a resample leaves a metric without images."""


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

    @property
    def counted(self) -> tuple[str, ...]:
        """The names of these classes."""
        return tuple(self.classes[k] for k in self.columns)

    def called(self, cuts: Mapping[str, float]) -> npt.NDArray[np.bool_]:
        """(N, K'): for each class that counts, whether the score reaches its threshold."""
        columns = list(self.columns)
        called: npt.NDArray[np.bool_] = self.scores[:, columns] >= [cuts[self.classes[k]] for k in columns]
        return called

    def part(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> "Judged":
        """Some of the images."""
        return Judged(self.task, self.classes, self.labels[rows], self.scores[rows])


def per_class(judged: Judged, cuts: Mapping[str, float], resamples: Resamples) -> dict[str, Metrics]:
    """Every metric of ``NAMES`` of each class that counts, against the rest."""
    called = judged.called(cuts)
    return {
        name: _of_one(judged.labels[:, k], judged.scores[:, k], called[:, at], resamples)
        for at, (k, name) in enumerate(zip(judged.columns, judged.counted, strict=True))
    }


def overall(judged: Judged, classes: Mapping[str, Metrics], resamples: Resamples) -> Metrics:
    """The same for the whole, from what :func:`per_class` found: macro, and what a multi-class task decides."""
    found = {name: _mean([metrics[name] for metrics in classes.values()]) for name in NAMES}
    if judged.task is Task.MULTICLASS:
        best = judged.scores.argmax(axis=1)
        exclusive = [_table(judged.labels[:, k], best == k, resamples) for k in judged.columns]
        right = sum((table.hits for table in exclusive), np.zeros(len(resamples.counts)))
        found["accuracy"] = right / exclusive[0].total
        found["balanced_accuracy"] = _mean([table.sensitivity for table in exclusive])
        found["f1"] = _mean([table.f1 for table in exclusive])
        found["brier"] = found["brier"] * len(judged.classes)
    return found


def grounds(judged: Judged, cuts: Mapping[str, float]) -> dict[str, dict[str, npt.NDArray[np.bool_]]]:
    """For each class that counts and each metric that is a share, (N) the images that it is a share of."""
    called = judged.called(cuts)
    found = {}
    for at, (k, name) in enumerate(zip(judged.columns, judged.counted, strict=True)):
        labels = judged.labels[:, k]
        known = ~np.isnan(labels)
        found[name] = {
            "accuracy": known,
            "sensitivity": labels == 1,
            "specificity": labels == 0,
            "ppv": known & called[:, at],
            "npv": known & ~called[:, at],
        }
    return found


def whole(judged: Judged, cuts: Mapping[str, float], resamples: Resamples) -> Metrics:
    """:func:`overall` from nothing, where the classes one by one are not wanted."""
    return overall(judged, per_class(judged, cuts, resamples), resamples)


def micro(judged: Judged, cuts: Mapping[str, float], resamples: Resamples) -> Metrics:
    """Every metric of ``NAMES`` over all pairs of an image and a class."""
    columns = list(judged.columns)
    pairs = Resamples(resamples.counts, np.repeat(resamples.member, len(columns)))
    labels, scores = judged.labels[:, columns].ravel(), judged.scores[:, columns].ravel()
    return _of_one(labels, scores, judged.called(cuts).ravel(), pairs)


@dataclass(frozen=True)
class Table:
    """How often each of the four outcomes of a decision came, each (B)."""

    hits: Floats
    misses: Floats
    alarms: Floats
    passes: Floats

    @property
    def total(self) -> Floats:
        """All of them."""
        return self.hits + self.misses + self.alarms + self.passes

    @property
    def sensitivity(self) -> Floats:
        """Of the positives, the share that is called so."""
        return ratio(self.hits, self.hits + self.misses)

    @property
    def specificity(self) -> Floats:
        """Of the negatives, the share that is not called positive."""
        return ratio(self.passes, self.passes + self.alarms)

    @property
    def f1(self) -> Floats:
        """Harmonic mean of sensitivity and PPV; none, rather than 0, for a class that is not there."""
        score = ratio(2 * self.hits, 2 * self.hits + self.misses + self.alarms)
        return np.where(self.hits + self.misses == 0, np.nan, score)


def ratio(above: Floats, below: Floats) -> Floats:
    """``above / below``, NaN where there is nothing below."""
    above, below = np.broadcast_arrays(above, below)
    found: Floats = np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0)
    return found


def _of_one(labels: Floats, scores: Floats, called: npt.NDArray[np.bool_], resamples: Resamples) -> Metrics:
    """Of one label: ``labels``, ``scores`` and ``called`` are (N)."""
    area, precision = resampled.areas(ranking.rank(labels, scores), resamples)
    table = _table(labels, called, resamples)
    error = resamples.sums(np.nan_to_num((scores - labels) ** 2)[:, None])[:, 0]
    return {
        "auroc": area,
        "auprc": precision,
        "accuracy": ratio(table.hits + table.passes, table.total),
        "balanced_accuracy": (table.sensitivity + table.specificity) / 2,
        "f1": table.f1,
        "sensitivity": table.sensitivity,
        "specificity": table.specificity,
        "ppv": ratio(table.hits, table.hits + table.alarms),
        "npv": ratio(table.passes, table.passes + table.misses),
        "brier": ratio(error, table.total),
    }


def _table(labels: Floats, called: npt.NDArray[np.bool_], resamples: Resamples) -> Table:
    outcomes = [(labels == 1) & called, (labels == 1) & ~called, (labels == 0) & called, (labels == 0) & ~called]
    return Table(*resamples.sums(np.column_stack(outcomes).astype(np.float64)).T)


def _mean(parts: Sequence[Floats]) -> Floats:
    """Over classes; NaN where a class has no value: a mean over fewer classes would be another metric."""
    mean: Floats = np.mean(parts, axis=0)
    return mean
