"""Calibration slope and intercept: logistic regression of the labels on the log-odds that a model gives.

Cox, "Two further applications of a model for binary regression" (Biometrika 1958); Van Calster et al., "Calibration:
the Achilles heel of predictive analytics" (BMC Medicine 2019). Errors are those of the sandwich estimator with patients
as clusters (Liang and Zeger, Biometrika 1986), for images of one patient are not independent.
"""

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from scipy.stats import norm

from stages.judging import bootstrap
from stages.judging.bootstrap import Floats, Interval

_STEPS, _ENOUGH = 100, 1e-10
_Z = float(norm.ppf(0.975))
_NONE = bootstrap.entry(np.nan, np.nan, np.nan)


def recalibration(labels: Floats, odds: Floats, patients: npt.NDArray[np.intp]) -> dict[str, Interval]:
    """How labels, (N) of 0 and 1, go with log-odds, (N); the patient of each image tells which belong together.

    - ``slope``: 1 where the model is as sure as it should be, below 1 where it is too sure.
    - ``intercept``: of the same regression; 0 where the slope is 1 and the model is right on average.
    - ``in_the_large``: the intercept where the slope is held at 1. Below 0: it expects more than there is.

    Null where there is no answer: one class alone, or (of the slope and its intercept) log-odds that tell the classes
    apart without error, or are all the same.
    """
    found = {"slope": _NONE, "intercept": _NONE, "in_the_large": _NONE}
    positive, negative = odds[labels == 1], odds[labels == 0]
    if not len(positive) or not len(negative):
        return found
    alone = np.ones((len(labels), 1))
    found["in_the_large"] = _wald(alone, odds, labels, patients)[0]
    if positive.min() < negative.max() and negative.min() < positive.max():
        both = np.stack([np.ones_like(odds), odds], axis=1)
        found["intercept"], found["slope"] = _wald(both, np.zeros_like(odds), labels, patients)
    return found


def _wald(design: Floats, offset: Floats, labels: Floats, patients: npt.NDArray[np.intp]) -> list[Interval]:
    """Coefficients of (N, P) ``design`` with their 95 % intervals; null where the regression has no finite answer."""
    images, terms = design.shape
    beta = np.zeros(terms)
    for _ in range(_STEPS):
        chances = expit(offset + design @ beta)
        information = design.T @ (design * (chances * (1 - chances))[:, None])
        if not np.linalg.cond(information) < 1 / np.finfo(float).eps:
            return [_NONE] * terms
        step = np.linalg.solve(information, design.T @ (labels - chances))
        # at most so far at once: from afar the curvature says little (a full step can go to and fro for ever)
        beta = beta + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < _ENOUGH:
            break
    else:
        return [_NONE] * terms
    names, cluster = np.unique(patients, return_inverse=True)
    scores = np.zeros((len(names), terms))
    np.add.at(scores, cluster, design * (labels - chances)[:, None])
    bread = np.linalg.inv(information)
    with np.errstate(invalid="ignore", divide="ignore"):
        correction = np.float64(len(names)) / (len(names) - 1) * (images - 1) / (images - terms)
        errors = np.sqrt(np.diag(bread @ (scores.T @ scores) @ bread) * correction)
    return [
        bootstrap.entry(float(b), float(b - _Z * e), float(b + _Z * e)) if np.isfinite(e) else _alone(float(b))
        for b, e in zip(beta, errors, strict=True)
    ]


def _alone(value: float) -> Interval:
    """Of one patient: a value, and nobody knows how sure."""
    return bootstrap.entry(value, np.nan, np.nan)
