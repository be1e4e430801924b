"""From the predictions of all folds to numbers: each fold, their mean, and all judged images in one ranking.

Two summaries, for they answer different questions. The mean over folds says how good models are that this recipe makes
of so many patients: each is judged against images that the same model scored. Pooling ranks scores of several models
against one another, which is one number of many patients, but takes models that are calibrated apart for worse rankings
(Forman and Scholz 2010, Apples-to-apples in cross-validation studies; Airola et al. 2011).

Intervals are of the patients who are judged, resampled within each fold, given the models: what other training
patients would have done is not in them. The spread over folds shows some of that, and is no standard error of the mean:
the folds' models share most of their training patients (Bengio and Grandvalet 2004).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from stages.artifacts.cohort import Task
from stages.artifacts.crossval import CHOSEN_ON, JUDGED
from stages.evaluate.params import EvaluateParams
from stages.judging import bootstrap, influence, judge, metrics, operating
from stages.judging.bootstrap import Resamples
from stages.judging.influence import Influence
from stages.judging.metrics import NAMES, Judged, Metrics


@dataclass(frozen=True)
class Pooled(Judged):
    """Images that several models scored, each with thresholds of its own."""

    decided: npt.NDArray[np.bool_]
    """(N, K'): whether the score reached its model's threshold."""

    def called(self, cuts: object) -> npt.NDArray[np.bool_]:  # noqa: ARG002 - there are several for each class
        """As it was decided."""
        return self.decided


@dataclass(frozen=True)
class _Fold:
    """What one model was judged on, and how it did."""

    number: int
    images: Judged
    cuts: dict[str, float]
    resamples: Resamples
    classes: dict[str, Metrics]
    overall: Metrics
    areas: dict[str, Influence]


def pool(
    predictions: pd.DataFrame, task: Task, classes: tuple[str, ...], section: EvaluateParams, seed: int
) -> dict[str, Any]:
    """The content of crossval.json (:mod:`stages.artifacts.crossval`) but for ``left_out``.

    ``predictions`` has the columns of :func:`stages.artifacts.crossval.predictions_schema`.
    """
    numbers = sorted(predictions["fold"].unique().tolist())
    tables = {number: predictions[predictions["fold"] == number] for number in numbers}
    folds = [_judge(table, number, task, classes, section, seed) for number, table in tables.items()]
    judged = predictions[predictions["role"] == JUDGED]
    return {
        "folds": [_one(fold) for fold in folds],
        "mean": _mean(folds),
        "spread": _spread(folds),
        "pooled": _pooled(folds, bootstrap.resample(_patients(folds, judged), section.resamples, seed)),
        "images": len(judged),
        "patients": int(judged["patient"].nunique()),
    }


def _judge(
    table: pd.DataFrame, number: int, task: Task, classes: tuple[str, ...], section: EvaluateParams, seed: int
) -> _Fold:
    chosen_on, judged = (table[table["role"] == role] for role in (CHOSEN_ON, JUDGED))
    images = judge.judged(judged, task, classes)
    cuts = operating.thresholds(judge.judged(chosen_on, task, classes), section.threshold)
    # a seed of its own: the same draws in each fold would not be those of a mean over different patients
    resamples = bootstrap.resample(judged["patient"].tolist(), section.resamples, seed + number)
    by_class = metrics.per_class(images, cuts, resamples)
    overall = metrics.overall(images, by_class, resamples)
    return _Fold(number, images, cuts, resamples, by_class, overall, judge.areas(images, resamples))


def _one(fold: _Fold) -> dict[str, Any]:
    return {
        "fold": fold.number,
        "thresholds": fold.cuts,
        **bootstrap.intervals(fold.overall),
        "delong": {"auroc": influence.mean(list(fold.areas.values())).interval((0, 1))},
        "per_class": {name: bootstrap.intervals(found) for name, found in fold.classes.items()},
        "images": len(fold.images.labels),
        "patients": fold.resamples.counts.shape[1],
    }


def _mean(folds: list[_Fold]) -> dict[str, Any]:
    """Over folds, each counting as much as another; null where one has no value."""
    return {
        **bootstrap.intervals(_averaged([fold.overall for fold in folds])),
        "delong": {"auroc": influence.mean(_mean_areas(folds)).interval((0, 1))},
        "per_class": {
            label: bootstrap.intervals(_averaged([fold.classes[label] for fold in folds])) for label in folds[0].classes
        },
    }


def _averaged(parts: list[Metrics]) -> Metrics:
    return {name: np.mean([part[name] for part in parts], axis=0) for name in NAMES}


def _mean_areas(folds: list[_Fold]) -> list[Influence]:
    """AUROC of each class as the mean over folds: no patient is in two, so each adds a part of their own fold's.

    As LeDell, Petersen and van der Laan 2015 (Electronic Journal of Statistics 9), with DeLong's components.
    """
    return [
        Influence(
            float(np.mean([fold.areas[name].value for fold in folds])),
            np.concatenate([fold.areas[name].patients for fold in folds]) / len(folds),
        )
        for name in folds[0].areas
    ]


def _spread(folds: list[_Fold]) -> dict[str, dict[str, float | None]]:
    """Of each metric over folds; the standard deviation is the sample's."""
    values = {name: np.array([fold.overall[name][0] for fold in folds]) for name in NAMES}
    return {
        name: {
            "sd": bootstrap.number(float(found.std(ddof=1))),
            "min": bootstrap.number(float(found.min())),
            "max": bootstrap.number(float(found.max())),
        }
        for name, found in values.items()
    }


def _patients(folds: list[_Fold], judged: pd.DataFrame) -> list[str]:
    """Of the judged images, fold after fold."""
    return [name for fold in folds for name in judged.loc[judged["fold"] == fold.number, "patient"]]


def _pooled(folds: list[_Fold], resamples: Resamples) -> dict[str, Any]:
    images = Pooled(
        folds[0].images.task,
        folds[0].images.classes,
        np.concatenate([fold.images.labels for fold in folds]),
        np.concatenate([fold.images.scores for fold in folds]),
        np.concatenate([fold.images.called(fold.cuts) for fold in folds]),
    )
    by_class = metrics.per_class(images, {}, resamples)
    return {
        **bootstrap.intervals(metrics.overall(images, by_class, resamples)),
        "per_class": {name: bootstrap.intervals(found) for name, found in by_class.items()},
    }
