"""Area under the ROC curve on val: what early stopping and the probe's penalty go by."""

import numpy as np
import numpy.typing as npt

from stages.artifacts.cohort import Task
from stages.judging import ranking
from stages.runtime import UserError


def auroc(labels: npt.NDArray[np.float32], scores: npt.NDArray[np.floating], task: Task) -> float:
    """Of the positive class of a binary task; else one class against the rest, averaged over the classes.

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
    everyone = np.ones((1, len(labels)))
    columns = [1] if task is Task.BINARY else range(labels.shape[1])
    found = [ranking.auroc(ranking.rank(labels[:, k], scores[:, k]), everyone)[0] for k in columns]
    judged = [value for value in found if not np.isnan(value)]
    if not judged:
        raise UserError(
            "no class can be judged on the validation images: each needs some that are of it and some that are not: "
            "add labelled patients, or give val a larger part in split.fractions"
        )
    return float(np.mean(judged))
