"""Intervals by resampling patients (Efron and Tibshirani 1993): images of one patient are not independent."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Interval = dict[str, float | None]

_LEVEL = (2.5, 97.5)
_DIGITS = 6
_CELLS = 8_000_000  # of counts that are made floating-point at once: 64 MB


@dataclass(frozen=True)
class Resamples:
    """Draws of as many patients as there are, with replacement; the first is the data as they are.

    Attributes
    ----------
    counts
        (B, P) how often each patient is drawn, row 0 all ones. Bytes: 2,000 draws of 100,000 patients are 200 MB.
    member
        (N) the patient of each image.
    """

    counts: npt.NDArray[np.uint8]
    member: npt.NDArray[np.intp]

    def sums(self, values: Floats) -> Floats:
        """(B, M): the columns of ``values``, (N, M), added up over the images of each draw.

        Every metric that is a ratio of sums over images comes from one such product.
        """
        ours = np.zeros((self.counts.shape[1], values.shape[1]))
        np.add.at(ours, self.member, values)
        return np.concatenate([counts @ ours for counts in self._parts()])

    def part(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> "Resamples":
        """The same draws for some of the images."""
        return Resamples(self.counts, self.member[rows])

    def _parts(self) -> Iterator[Floats]:
        step = max(1, _CELLS // self.counts.shape[1])
        for start in range(0, len(self.counts), step):
            yield self.counts[start : start + step].astype(np.float64)


def resample(patients: Sequence[str], resamples: int, seed: int) -> Resamples:
    """``resamples`` draws of the patients of these images, after the data as they are."""
    names, member = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    random = np.random.default_rng(seed)
    counts = np.ones((resamples + 1, len(names)), dtype=np.uint8)
    for row in counts[1:]:
        row[:] = np.bincount(random.integers(0, len(names), len(names)), minlength=len(names))
    return Resamples(counts, member)


def interval(values: Floats) -> Interval:
    """``{"value", "low", "high"}``: the first of ``values``, (B), and the 95 % percentile interval of the others.

    Draws in which a metric has no value (a class was not drawn) are left out of its interval; a metric without a value
    is null, as JSON has no NaN.
    """
    drawn = values[1:][~np.isnan(values[1:])]
    low, high = np.percentile(drawn, _LEVEL) if len(drawn) and not np.isnan(values[0]) else (np.nan, np.nan)
    return entry(float(values[0]), float(low), float(high))


def intervals(values: Mapping[str, Floats]) -> dict[str, Interval]:
    """:func:`interval` of each metric."""
    return {name: interval(drawn) for name, drawn in values.items()}


def entry(value: float, low: float, high: float) -> Interval:
    """A number and its interval as JSON has them: rounded, and null for NaN."""
    return {"value": number(value), "low": number(low), "high": number(high)}


def number(value: float) -> float | None:
    """Rounded to what is written down; None for NaN."""
    return None if np.isnan(value) else round(float(value), _DIGITS)
