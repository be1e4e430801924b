"""One number by which all logits are divided, so that probabilities mean what they say.

Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017): the temperature T that minimises the negative
log-likelihood of the validation images. That is a convex function of 1/T, so there is one answer: the root of its
derivative.
"""

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import logsumexp, softmax

from stages.artifacts.cohort import Task
from stages.artifacts.model import Calibration

COLDEST, HOTTEST = 0.1, 10.0
"""T is kept within: beyond, a few images of val would decide how sure the model is of all others."""

_DIGITS = 6  # after the point: more than a validation set can tell, fewer than differ between kinds of CPU

Floats = npt.NDArray[np.floating]


def fit(logits: Floats, labels: Floats, task: Task) -> Calibration:
    """The temperature of (N, K) ``logits`` with (N, K) ``labels``: 0, 1 or NaN (unknown: left out), one known at least.

    ``outcome`` is

    - ``fitted``: the images are likeliest at this T;
    - ``limited``: they would be likelier still beyond ``COLDEST`` or ``HOTTEST``;
    - ``undetermined``: every image is told right, so the surer the likelier without end: T stays 1.
    """
    scores, truth = _exclusive(logits.astype(np.float64), labels, task)
    true_scores = scores[np.arange(len(truth)), truth]

    def slope(sharpness: float) -> float:
        """Derivative by 1/T of the mean negative log-likelihood."""
        return float(((softmax(sharpness * scores, axis=1) * scores).sum(axis=1) - true_scores).mean())

    def surprise(temperature: float) -> float:
        return float((logsumexp(scores / temperature, axis=1) - true_scores / temperature).mean())

    if (true_scores == scores.max(axis=1)).all():
        temperature, outcome = 1.0, "undetermined"
    elif slope(1 / HOTTEST) >= 0:
        temperature, outcome = HOTTEST, "limited"
    elif slope(1 / COLDEST) <= 0:
        temperature, outcome = COLDEST, "limited"
    else:
        temperature, outcome = round(1 / brentq(slope, 1 / HOTTEST, 1 / COLDEST, xtol=1e-12), _DIGITS), "fitted"
    return Calibration(
        temperature=temperature,
        outcome=outcome,
        val_nll=round(surprise(temperature), _DIGITS),
        val_nll_uncalibrated=round(surprise(1.0), _DIGITS),
    )


def _exclusive(logits: Floats, labels: Floats, task: Task) -> tuple[Floats, npt.NDArray[np.intp]]:
    """(M, C) logits of exclusive classes, and which is true: of several labels, each known one as no (0) or yes."""
    if task is not Task.MULTILABEL:
        return logits, labels.argmax(axis=1)
    known = ~np.isnan(labels)
    yes = logits[known]
    return np.stack([np.zeros_like(yes), yes], axis=1), labels[known].astype(np.intp)
