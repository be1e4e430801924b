"""What ``split.external`` names becomes a side of its own, and moves nobody else."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import numpy as np
import numpy.typing as npt
import pandas as pd

from stages.artifacts.cohort import Subset
from stages.split import deal

Flags = npt.NDArray[np.bool_]


def hold_out(images: pd.DataFrame, sides: pd.Series, held_out: Flags) -> pd.Series:
    """``sides`` with the images held out on :attr:`Subset.EXTERNAL`, or None where that would leak.

    Everybody was dealt as if nothing were held out, so a choice of what is external moves no patient from one of the
    other sides to another: a test side before the choice and one after it can be compared.

    A patient (with all who are tied to them) is internal or external for good. Batch by batch in order of appearance,
    who is new and has an image that is not held out is internal; their images that are held out are left out. Who was
    external in an earlier batch stays so, and their other images are left out. So adding batches moves nobody.

    Parameters
    ----------
    images
        (N) rows with the columns of ``TIES`` and ``batch``.
    sides
        (N) of :func:`stages.split.deal.deal`: a side, or None for an image that is left out.
    held_out
        (N) which images are named.
    """
    if not held_out.any():
        return sides
    found = sides.copy()
    placed = sides.notna().to_numpy()
    inside: set[deal.Key] = set()
    outside: set[deal.Key] = set()
    for batch in images["batch"].unique():
        here = np.flatnonzero((images["batch"] == batch).to_numpy() & placed)
        keys, named = deal.keys(images.iloc[here]), held_out[here]
        kept = _kept(deal.components(images.iloc[here]), named, _meets(keys, inside), _meets(keys, outside))
        found.iloc[here[kept & named]] = Subset.EXTERNAL.value
        found.iloc[here[~kept]] = None
        for number in np.flatnonzero(kept):
            (outside if named[number] else inside).update(keys[number])
    return found


def _kept(component: npt.NDArray[np.int32], named: Flags, meets_inside: Flags, meets_outside: Flags) -> Flags:
    """(n,) which images of one batch stay: no two that stay are tied and on different sides of the wall."""
    count = component.max(initial=-1) + 1

    def anywhere(flags: Flags) -> Flags:  # in the image's component
        some: Flags = (np.bincount(component, flags, count) > 0)[component]
        return some

    external = anywhere(meets_outside)
    internal = anywhere(meets_inside) | (anywhere(~named) & ~external)
    return np.where(named, ~internal, ~external)


def _meets(keys: Sequence[Sequence[deal.Key]], known: AbstractSet[deal.Key]) -> Flags:
    return np.array([not known.isdisjoint(row) for row in keys], dtype=bool)
