"""Sums over resamples for many questions at once: every product reads all counts, so the fewer products the better."""

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from stages.judging.bootstrap import Floats, Resamples

_COLUMNS = 128  # in one product: of 100,000 images they take 100 MB, twice

Block = tuple[npt.NDArray[np.intp], Floats]
"""(n) rows of the images, and (n, m) values of these."""


def sums(resamples: Resamples, blocks: Iterable[Block]) -> Iterator[Floats]:
    """For each block the (B, m) sums of its columns, as ``resamples.part(rows).sums(values)`` gives them."""
    waiting: list[Block] = []
    for block in blocks:
        if waiting and sum(values.shape[1] for _, values in waiting) + block[1].shape[1] > _COLUMNS:
            yield from _product(resamples, waiting)
            waiting = []
        waiting.append(block)
    yield from _product(resamples, waiting)


def _product(resamples: Resamples, blocks: list[Block]) -> Iterator[Floats]:
    ends = np.cumsum([0, *(values.shape[1] for _, values in blocks)])
    together = np.zeros((len(resamples.member), ends[-1]))
    for (rows, values), (start, end) in zip(blocks, pairwise(ends), strict=True):
        together[rows, start:end] = values
    found = resamples.sums(together)
    yield from (found[:, start:end] for start, end in pairwise(ends))
