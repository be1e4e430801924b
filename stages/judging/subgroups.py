"""Who the model works for: each group of the judged images beside all others.

A gap is a group less the rest, over the classes that both can speak of. Its interval is of 95 %: among many gaps some
exclude 0 by chance, so a probability adjusted for all of them (Holm 1979) stands beside it.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from stages.judging import bootstrap, influence, scores
from stages.judging.influence import Influence
from stages.judging.metrics import Judged
from stages.judging.paired import holm
from stages.judging.scores import Gap, Score

Floats = npt.NDArray[np.floating]
Flags = npt.NDArray[np.bool_]

ATTRIBUTES = ("sex", "age", "site", "manufacturer", "modality", "view", "body_part", "batch")
NOT_STATED = "not stated"
METRICS = ("auroc", "sensitivity", "specificity")


def attributes(rows: pd.DataFrame, age_bands: Sequence[int]) -> pd.DataFrame:
    """(N) rows of ``ATTRIBUTES`` as names of groups: ages in bands, what is unknown a group of its own.

    ``age_bands`` are the ages, rising, at which another band begins.
    """
    named = rows[[name for name in ATTRIBUTES if name != "age"]].astype("object")
    named = named.where(named.notna(), NOT_STATED)
    ages = rows["age"].to_numpy(dtype=float)
    band = np.searchsorted(np.array(age_bands), ages, side="right")  # NaN comes last, and is named below
    bands = np.array(_bands(age_bands), dtype=object)[band]
    return named.assign(age=np.where(np.isnan(ages), NOT_STATED, bands))[list(ATTRIBUTES)]


def judge(
    images: Judged, cuts: Mapping[str, float], groups: pd.DataFrame, patients: Sequence[str], smallest: int
) -> dict[str, Any]:
    """``{"<attribute>": {"<group>": found}}``, attributes with one group left out.

    ``found`` holds ``images``, ``patients``, ``positives`` (images by class), and of each of ``METRICS`` the value with
    its interval, the ``classes`` it is a mean over, and the ``gap`` to the rest: with interval, ``p``, ``p_holm``, and
    ``flag`` where the interval excludes 0. A class counts where the group has ``smallest`` patients with it and as many
    without it; where none does there is no metric. The gap is null where the rest has not as many.

    Parameters
    ----------
    images, groups, patients
        (N) images, of :func:`attributes`, and the patient of each.
    cuts
        Thresholds by class.
    """
    names, member = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    everyone = _Side(images, images.called(cuts), member, len(names))
    found: dict[str, Any] = {}
    for attribute in groups:
        values = groups[attribute].to_numpy(dtype=str)
        present = np.unique(values)
        if len(present) > 1:
            found[str(attribute)] = {str(value): _group(everyone, values == value, smallest) for value in present}
    _adjust(found)
    return found


class _Side(NamedTuple):
    """Images with their decisions (N, K') and patients."""

    images: Judged
    called: Flags
    member: npt.NDArray[np.intp]
    patients: int

    def part(self, rows: Flags) -> "_Side":
        return _Side(self.images.part(rows), self.called[rows], self.member[rows], self.patients)

    def count(self, rows: Flags) -> int:
        """Patients of these images."""
        return int(np.count_nonzero(np.bincount(self.member[rows], minlength=1)))

    def sizes(self) -> npt.NDArray[np.intp]:
        """(K', 2) patients with a positive image of each class, and with a negative one."""
        labels = self.images.labels[:, list(self.images.columns)]
        return np.array([[self.count(label == value) for value in (1, 0)] for label in labels.T])


def _group(everyone: _Side, rows: Flags, smallest: int) -> dict[str, Any]:
    group, rest = everyone.part(rows), everyone.part(~rows)
    sizes, others = group.sizes(), rest.sizes()
    enough, both = (sizes >= smallest).all(axis=1), (others >= smallest).all(axis=1)
    counted = np.flatnonzero(enough & both if (enough & both).any() else enough)
    positives = (group.images.labels[:, list(group.images.columns)] == 1).sum(axis=0).tolist()
    found: dict[str, Any] = {
        "images": int(rows.sum()),
        "patients": group.count(np.ones(int(rows.sum()), dtype=bool)),
        "positives": dict(zip(group.images.counted, positives, strict=True)),
    }
    if not len(counted):
        return found
    comparable = bool((enough & both).any())
    theirs = _scores(rest, counted, others) if comparable else None
    for name, score in _scores(group, counted, sizes).items():
        gap = scores.gap(score, theirs[name]) if theirs else None
        found[name] = {
            **bootstrap.entry(score.value, score.low, score.high),
            "classes": [group.images.counted[at] for at in counted],
            "gap": _gap(gap) if gap else None,
        }
    return found


def _scores(side: _Side, counted: npt.NDArray[np.intp], sizes: npt.NDArray[np.intp]) -> dict[str, Score]:
    """Each of ``METRICS``, a mean over the classes ``counted``."""
    parts: dict[str, list[Influence]] = {name: [] for name in METRICS}
    columns = list(side.images.columns)
    for at in counted:
        labels, called = side.images.labels[:, columns[at]], side.called[:, at]
        area = influence.auroc(labels, side.images.scores[:, columns[at]], side.member, side.patients)
        parts["auroc"].append(area)
        parts["sensitivity"].append(_share(called, labels == 1, side))
        parts["specificity"].append(_share(~called, labels == 0, side))
    positive, negative = sizes[counted].T.astype(float)
    most = {
        "auroc": (4 * positive * negative / (positive + negative)).sum(),
        "sensitivity": positive.sum(),
        "specificity": negative.sum(),
    }
    return {name: scores.score(influence.mean(found), most[name]) for name, found in parts.items()}


def _share(right: Flags, among: Flags, side: _Side) -> Influence:
    """The share of the images ``among`` that are ``right``, and what each patient adds to its error."""
    value = float(right[among].mean())
    patients = side.count(among)
    added = np.bincount(side.member[among], right[among] - value, minlength=side.patients) / among.sum()
    return Influence(value, added * np.sqrt(patients / (patients - 1)))


def _gap(gap: Gap) -> dict[str, Any]:
    interval = bootstrap.entry(gap.value, gap.low, gap.high)
    return {**interval, "p": bootstrap.number(gap.p), "flag": bool(gap.low > 0 or gap.high < 0)}


def _adjust(found: dict[str, Any]) -> None:
    """Add ``p_holm`` to every gap: all of them are one family."""
    gaps = list(_gaps(found))
    for gap, p in zip(gaps, holm([gap["p"] for gap in gaps]), strict=True):
        gap["p_holm"] = None if p is None else bootstrap.number(p)


def _gaps(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for groups in found.values():
        for group in groups.values():
            yield from (group[name]["gap"] for name in METRICS if name in group and group[name]["gap"])


def _bands(ages: Sequence[int]) -> list[str]:
    between = [f"{low} to {high - 1}" for low, high in itertools.pairwise(ages)]
    return [f"under {ages[0]}", *between, f"{ages[-1]} and over"]
