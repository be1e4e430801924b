"""Intervals by resampling patients (Efron and Tibshirani 1993): images of one patient are not independent."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]

_LEVEL = (2.5, 97.5)
_DIGITS = 6


def resample(patients: Sequence[str], resamples: int, seed: int) -> Floats:
    """(resamples, N): how often each image counts when as many patients are drawn as there are, with replacement."""
    names, member = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    random = np.random.default_rng(seed)
    drawn = random.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    weights: Floats = drawn.astype(np.float32)[:, member]
    return weights


def intervals(values: Mapping[str, Floats], resampled: Mapping[str, Floats]) -> dict[str, dict[str, float | None]]:
    """``{"<metric>": {"value", "low", "high"}}``: the 95 % percentile interval.

    Resamples in which a metric has no value (a class was not drawn) are left out of its interval; a metric without a
    value is null, as JSON has no NaN.
    """
    found = {}
    for name, value in values.items():
        drawn = resampled[name][~np.isnan(resampled[name])]
        low, high = np.percentile(drawn, _LEVEL) if len(drawn) else (np.nan, np.nan)
        found[name] = {"value": _number(float(value[0])), "low": _number(float(low)), "high": _number(float(high))}
    return found


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(value, _DIGITS)
