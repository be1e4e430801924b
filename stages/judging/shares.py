"""Intervals of shares, where resampling says too little: of few observations, or if all of them agree."""

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from stages.judging import bootstrap
from stages.judging.bootstrap import Floats, Interval

_Z = float(norm.ppf(0.975))
_TAIL = 0.025


def wilson(share: Floats, count: npt.NDArray[np.integer]) -> tuple[Floats, Floats]:
    """Ends of Wilson's 95 % interval of shares of ``count`` observations (Wilson, JASA 1927)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        middle = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
        reach = _Z / (1 + _Z**2 / count) * np.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    return np.clip(middle - reach, 0, 1), np.clip(middle + reach, 0, 1)


def interval(draws: Floats, patients: int) -> Interval:
    """As :func:`stages.judging.bootstrap.interval`, of a share among images of so many patients.

    Where all images agree every resample does, and its interval would say that no other answer is possible. Then it is
    that of Clopper and Pearson (Biometrika 1934), each patient one observation: [0, 0.31] if none of ten was wrong.
    """
    found = bootstrap.interval(draws)
    if patients and found["value"] == 0:
        return bootstrap.entry(0.0, 0.0, 1 - _TAIL ** (1 / patients))
    if patients and found["value"] == 1:
        return bootstrap.entry(1.0, _TAIL ** (1 / patients), 1.0)
    return found
