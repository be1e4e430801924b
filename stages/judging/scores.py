"""Intervals of shares and of AUROCs that stay honest near 0 and 1, and of their differences.

By the normal distribution, twenty hits of twenty are 1.00 [1.00, 1.00], and any other group seems different from them.
Wilson's score interval (Wilson 1927) is taken instead, for as many independent trials as have the standard error that
was found between patients (the effective sample size: Korn and Graubard 1998), and never for more than there are
patients to speak of. Differences are by the method of variance estimates recovery, which makes an interval of a
difference of the intervals of both sides (Newcombe 1998; of sides that share patients: Zou and Donner 2008).
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from stages.judging.influence import Influence

_95 = float(stats.norm.ppf(0.975))


class Score(NamedTuple):
    """A number between 0 and 1, its 95 % interval, and what it came from."""

    value: float
    low: float
    high: float
    influence: Influence


class Gap(NamedTuple):
    """A difference, its 95 % interval, and two-sided, the probability of one as large by chance."""

    value: float
    low: float
    high: float
    p: float


def score(found: Influence, most: float) -> Score:
    """The interval of ``found``; of ``most`` independent trials at most. NaN stays NaN."""
    value, error = found.value, found.error
    if np.isnan(value) or np.isnan(error) or most <= 0:
        return Score(value, np.nan, np.nan, found)
    trials = min(most, value * (1 - value) / error**2) if error > 0 else most
    trials = max(trials, 1.0)
    square = _95**2 / trials
    middle = (value + square / 2) / (1 + square)
    reach = _95 * np.sqrt(value * (1 - value) / trials + square / (4 * trials)) / (1 + square)
    return Score(value, max(0.0, float(middle - reach)), min(1.0, float(middle + reach)), found)


def of_area(found: Influence, positive: npt.ArrayLike, negative: npt.ArrayLike) -> Score:
    """The interval of an AUROC of so many patients with a finding and without; of several classes, of their mean.

    It rests on twice their harmonic mean at most: by simulation intervals then cover as they should near 1, too.
    """
    several = np.atleast_1d(np.asarray(positive, dtype=float)), np.atleast_1d(np.asarray(negative, dtype=float))
    most = 4 * several[0] * several[1] / np.maximum(several[0] + several[1], 1)
    return score(found, float(most.sum()))


def gap(one: Score, other: Score) -> Gap:
    """``one`` less ``other``, whose patients may be the same in part: the influences are over the same ones.

    p is of the interval's own side towards 0, so that it is below 0.05 where the interval excludes 0.
    """
    errors = one.influence.error * other.influence.error
    shared = float((one.influence.patients * other.influence.patients).sum()) / errors if errors > 0 else 0.0
    value = one.value - other.value
    low = value - _reach(one.value - one.low, other.high - other.value, shared)
    high = value + _reach(one.high - one.value, other.value - other.low, shared)
    towards = value - low if value > 0 else high - value
    p = float(2 * stats.norm.sf(_95 * abs(value) / towards)) if towards > 0 else (1.0 if value == 0 else 0.0)
    return Gap(value, low, high, p)


def _reach(one: float, other: float, shared: float) -> float:
    return float(np.sqrt(max(0.0, one**2 + other**2 - 2 * shared * one * other)))
