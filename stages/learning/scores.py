"""How good a model is on val: what ends training, chooses its best epoch, and the probe's penalty."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from stages.artifacts.cohort import Task
from stages.judging import ranking
from stages.judging.ranking import Ranking
from stages.runtime import UserError

Labels = npt.NDArray[np.float32]
Scores = npt.NDArray[np.floating]


def auroc(labels: Labels, scores: Scores, task: Task) -> float:
    """Area under the ROC curve: of the positive class of a binary task; else each class against the rest, averaged.

    Parameters
    ----------
    labels
        (N, K) of 0, 1 and NaN (unknown: left out).
    scores
        (N, K), larger for more likely.

    Raises
    ------
    UserError
        If no class has images that are of it and images that are not. A class without either is left out.
    """
    return _averaged(ranking.auroc, labels, scores, task)


def auprc(labels: Labels, scores: Scores, task: Task) -> float:
    """Area under the precision-recall curve. Parameters, average and errors as of :func:`auroc`."""
    return _averaged(ranking.average_precision, labels, scores, task)


def balanced_accuracy(labels: Labels, probabilities: Scores, task: Task) -> float:
    """Mean recall of the most probable class; of a multi-label task, of both answers to each label at 0.5, averaged.

    Parameters as of :func:`auroc`. A class without images is left out.
    """
    if task is Task.MULTILABEL:
        called = probabilities >= 0.5  # noqa: PLR2004 - even odds
        recalls = [_share(called, labels == 1), _share(~called, labels == 0)]
        return float(np.nanmean(np.mean(recalls, axis=0)))
    called = np.eye(labels.shape[1], dtype=bool)[probabilities.argmax(axis=1)]
    return float(np.nanmean(_share(called, labels == 1)))


def _averaged(metric: Callable[[Ranking, Scores], Scores], labels: Labels, scores: Scores, task: Task) -> float:
    everyone = np.ones((1, len(labels)))
    columns = [1] if task is Task.BINARY else range(labels.shape[1])
    found = [metric(ranking.rank(labels[:, k], scores[:, k]), everyone)[0] for k in columns]
    judged = [value for value in found if not np.isnan(value)]
    if not judged:
        raise UserError(
            "no class can be judged on the validation images: each needs some that are of it and some that are not: "
            "add labelled patients, or give val a larger part in split.fractions"
        )
    return float(np.mean(judged))


def _share(called: npt.NDArray[np.bool_], of: npt.NDArray[np.bool_]) -> Scores:
    """(K): of the images in each column of ``of``, the part that is called so; NaN where there are none."""
    counts = of.sum(axis=0)
    share: Scores = np.where(counts > 0, (called & of).sum(axis=0) / np.maximum(counts, 1), np.nan)
    return share
