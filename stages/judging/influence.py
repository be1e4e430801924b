"""AUROC and how much of it each patient makes: variances without resampling, for differences and means too.

DeLong's structural components (DeLong, DeLong and Clarke-Pearson 1988), added up by patient (Obuchowski 1997). What a
patient adds to a difference, or a mean, of AUROCs is the difference, or the mean, of what they add to each; the
variance is the sum of squares. With one image a patient it is DeLong's variance exactly.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from stages.judging import bootstrap
from stages.judging.bootstrap import Floats, Interval

_95 = float(stats.norm.ppf(0.975))


class Influence(NamedTuple):
    """A number, and what each patient adds to its error."""

    value: float
    patients: Floats  # (P), zero for who is not among the images

    @property
    def error(self) -> float:
        """The standard error."""
        return float(np.sqrt((self.patients**2).sum()))

    def interval(self, bounds: tuple[float, float] = (-np.inf, np.inf)) -> Interval:
        """95 %, by the normal distribution, within ``bounds``."""
        reach = _95 * self.error
        return bootstrap.entry(self.value, *np.clip([self.value - reach, self.value + reach], *bounds))

    def p(self) -> float:
        """Two-sided, that the true value is 0; NaN where no patient says how far it may be off (1 if it is 0 too)."""
        if self.error == 0:
            return 1.0 if self.value == 0 else np.nan
        return float(2 * stats.norm.sf(abs(self.value) / self.error))


def auroc(labels: Floats, scores: Floats, member: npt.NDArray[np.intp], patients: int) -> Influence:
    """Of images with ``labels`` (N) of 1, 0 or NaN (left out); ``member`` (N) is each image's patient, of ``patients``.

    NaN, with NaN for all, unless there are two patients at least with positives and two with negatives.
    """
    positive, negative = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    groups = [int(np.count_nonzero(np.bincount(member[rows]))) for rows in (positive, negative)]
    if min(groups) < 2:  # noqa: PLR2004 - a variance needs two
        return Influence(np.nan, np.full(patients, np.nan))
    # the share of the other class that an image is rightly ranked against, ties as one half
    above, below = scores[positive], scores[negative]
    right = (_rank(np.sort(below), above), 1 - _rank(np.sort(above), below))
    value = float(right[0].mean())
    added = np.zeros(patients)
    for rows, share, group in zip((positive, negative), right, groups, strict=True):
        scale = np.sqrt(group / (group - 1)) / len(rows)
        added += scale * np.bincount(member[rows], share - value, minlength=patients)
    return Influence(value, added)


def difference(one: Influence, other: Influence) -> Influence:
    """``one`` less ``other``, both over the same patients."""
    return Influence(one.value - other.value, one.patients - other.patients)


def mean(parts: list[Influence]) -> Influence:
    """Over classes; NaN where one has no value: a mean over fewer classes would be another metric."""
    return Influence(float(np.mean([p.value for p in parts])), np.mean([p.patients for p in parts], axis=0))


def _rank(ordered: Floats, values: Floats) -> Floats:
    """(n): of ``ordered``, the share below each value, equal ones counted one half."""
    low, high = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    share: Floats = (low + high) / (2 * len(ordered))
    return share
