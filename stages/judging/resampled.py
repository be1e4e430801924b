"""Areas under curves of every resample: scores are sorted once, then each is one pass over the patients' counts.

Compiled (numba): 2,000 resamples of 100,000 images and 14 labels are three thousand million steps, which as array
operations take ten times as long and gigabytes.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import numpy.typing as npt

from stages.judging.bootstrap import Floats, Resamples
from stages.judging.ranking import Ranking


def areas(ranking: Ranking, resamples: Resamples) -> tuple[Floats, Floats]:
    """(B) area under the ROC curve and (B) average precision, as :mod:`stages.judging.ranking` defines them.

    NaN for a resample without positives or without negatives. ``ranking`` is of the images of ``resamples``.
    """
    last = np.zeros(len(ranking.order), dtype=np.bool_)
    last[ranking.ends] = True
    member = resamples.member[ranking.order].astype(np.int32)
    found = np.full((2, len(resamples.counts)), np.nan)
    threads = len(os.sched_getaffinity(0))
    parts = np.array_split(np.arange(len(resamples.counts)), threads * 4)
    with ThreadPoolExecutor(threads) as pool:
        jobs = [
            pool.submit(_areas, resamples.counts, member, ranking.positive > 0, last, part[0], part[-1] + 1, found)
            for part in parts
            if len(part)
        ]
        for job in jobs:
            job.result()
    return found[0], found[1]


@numba.njit(nogil=True, cache=True)
def _areas(
    counts: npt.NDArray[np.uint8],
    member: npt.NDArray[np.int32],
    positive: npt.NDArray[np.bool_],
    last: npt.NDArray[np.bool_],
    start: int,
    end: int,
    found: Floats,
) -> None:
    """Fill columns ``start`` to ``end`` of ``found``; ``last`` marks where a run of equal scores ends."""
    for draw in range(start, end):
        drawn = counts[draw]
        hits = alarms = new_hits = new_alarms = 0
        area = precision = 0.0
        for at in range(len(member)):
            count = np.int64(drawn[member[at]])
            new_hits += count * positive[at]
            new_alarms += count * (1 - positive[at])
            if last[at]:
                area += new_alarms * (hits + 0.5 * new_hits)
                hits += new_hits
                alarms += new_alarms
                if new_hits:
                    precision += new_hits * (hits / (hits + alarms))
                new_hits = new_alarms = 0
        if hits and alarms:
            found[0, draw] = area / (float(hits) * float(alarms))
            found[1, draw] = precision / hits
