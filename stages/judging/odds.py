"""From what a network gives to the log-odds of each class: where calibration is measured, and nothing saturates."""

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from stages.artifacts.cohort import Task

Floats = npt.NDArray[np.floating]


def log_odds(logits: Floats, task: Task, temperature: float = 1.0) -> Floats:
    """(N, K) log(p / (1 - p)) of each class against the rest, p the probability that (N, K) ``logits`` stand for.

    ``scipy.special.expit`` of it is the probability.
    """
    scaled = logits.astype(np.float64) / temperature
    if task is Task.MULTILABEL:
        return scaled
    rest = [logsumexp(np.delete(scaled, k, axis=1), axis=1) for k in range(scaled.shape[1])]
    odds: Floats = scaled - np.stack(rest, axis=1)
    return odds
