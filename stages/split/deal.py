"""Deal patients to train, val and test, or to folds: a pure function that never moves one when batches are added."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from stages.artifacts.cohort import TIES

Names = npt.NDArray[np.str_]
Key = tuple[str, str]
"""A kind of ``TIES`` and a value of it."""


def deal(
    images: pd.DataFrame, labels: npt.NDArray[np.float32], fractions: Mapping[str, float], salt: str = "split"
) -> pd.Series:
    """The side of every image, or None for one that would tie two sides together.

    Batches are dealt in order of appearance. Images tied by a patient, a study or the same look are one group. A group
    with a tie to an earlier batch goes where that is. New groups are dealt within their stratum (the rarest label among
    their images, counted in this batch) in the order of a hash of their patients, by systematic sampling of the
    fractions; a stratum of three or more reaches every side.

    So adding batches moves nobody. Relabelling can move patients of the same batch, for it changes the strata.

    Parameters
    ----------
    images
        (N) rows with the columns of ``TIES`` and ``batch``.
    labels
        (N, K), 1.0 where an image has a label.
    fractions
        Of each side, by its name; they add up to 1.
    salt
        Of the hash: another deal of the same patients has its own.
    """
    sides = pd.Series([None] * len(images), index=images.index, dtype=object)
    known: dict[Key, str] = {}
    for batch in images["batch"].unique():
        rows = images[images["batch"] == batch]
        rows = rows[[len(_earlier(row, known)) < 2 for row in keys(rows)]]  # noqa: PLR2004 - it would tie two sides
        found = _place(rows, labels[images.index.get_indexer(rows.index)], fractions, salt, known)
        sides[found.index] = found
        for row, side in zip(keys(rows.loc[found.index]), found, strict=True):
            known.update(dict.fromkeys(row, side))
    return sides


def groups(images: pd.DataFrame) -> Names:
    """(N,) the group of every image: the least of the patients' keys that ties make one."""
    component = components(images)
    least = images.groupby(component)["patient"].transform("min")
    return least.to_numpy(dtype=np.str_)


def _place(
    rows: pd.DataFrame,
    labels: npt.NDArray[np.float32],
    fractions: Mapping[str, float],
    salt: str,
    known: dict[Key, str],
) -> pd.Series:
    """The side of each row of one batch; a row is absent if its group is tied to two sides."""
    component = components(rows)
    earlier: dict[int, set[str]] = {number: set() for number in component}
    for number, row in zip(component, keys(rows), strict=True):
        earlier[number] |= _earlier(row, known)
    names = pd.Series(groups(rows), index=rows.index)
    new = np.array([not earlier[number] for number in component], dtype=bool)
    placed = _stratified(names[new], labels[new], fractions, salt)
    for number, sides in earlier.items():
        if len(sides) == 1:
            placed |= dict.fromkeys(names[component == number], next(iter(sides)))
    return names.map(placed).dropna()


def _stratified(
    names: pd.Series, labels: npt.NDArray[np.float32], fractions: Mapping[str, float], salt: str
) -> dict[str, str]:
    """Deal groups within strata. ``names`` (N,) is each image's group, ``labels`` (N, K) its labels."""
    positive = pd.DataFrame(labels == 1.0).groupby(names.to_numpy()).any()
    rarity = positive.sum().to_numpy()
    order = np.argsort(rarity, kind="stable")
    dealt: dict[str, str] = {}
    # the first label in order of rarity that a group has; the last stratum has none (all negative)
    has = positive.to_numpy()[:, order]
    stratum = np.where(has.any(axis=1), has.argmax(axis=1), len(order))
    for number in np.unique(stratum):
        members = sorted(positive.index[stratum == number], key=lambda name: _shuffled(name, salt))
        dealt |= dict(zip(members, _systematic(members, fractions, salt), strict=True))
    return dealt


def _systematic(members: Sequence[str], fractions: Mapping[str, float], salt: str) -> list[str]:
    names = list(fractions)
    start = int(_shuffled("start:" + members[0], salt)[:8], 16) / 16**8  # unbiased also for a batch of one patient
    bounds = np.cumsum(list(fractions.values()))
    points = (np.arange(len(members)) + start) / len(members)
    sides = np.minimum(np.searchsorted(bounds, points, side="right"), len(names) - 1)
    if len(members) >= len(names):
        for side in range(len(names)):
            if not (sides == side).any():
                most = np.bincount(sides, minlength=len(names)).argmax()
                sides[np.flatnonzero(sides == most)[-1]] = side
    return [names[side] for side in sides]


def _shuffled(name: str, salt: str) -> str:
    return hashlib.sha256(f"{salt}:{name}".encode()).hexdigest()


def keys(rows: pd.DataFrame) -> list[list[Key]]:
    """For each row, its ties: kind and value."""
    return [list(zip(TIES, values, strict=True)) for values in rows[list(TIES)].itertuples(index=False, name=None)]


def _earlier(row: Sequence[Key], known: Mapping[Key, str]) -> set[str]:
    return {known[key] for key in row if key in known}


def components(rows: pd.DataFrame) -> npt.NDArray[np.int32]:
    """(N,) the number of each row's connected component; rows are tied through the keys they share."""
    count, nodes = len(rows), len(rows)
    ends = []
    for tie in TIES:
        codes, values = pd.factorize(rows[tie])
        ends.append(nodes + codes)
        nodes += len(values)
    starts = np.tile(np.arange(count), len(TIES))
    graph = coo_array((np.ones(len(starts), dtype=np.int8), (starts, np.concatenate(ends))), shape=(nodes, nodes))
    component: npt.NDArray[np.int32] = connected_components(graph, directed=False)[1][:count]
    return component
