"""Who the model works for: each group of the judged images beside all others.

A gap is a group less the rest, over the classes that both can speak of. Its interval is of 95 %: among many gaps some
exclude 0 by chance, so a probability adjusted for all of them (Holm 1979) stands beside it.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
_SHARES = {"sensitivity": 1.0, "specificity": 0.0}


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
    labels = list(_labels(images, cuts, member, len(names)))
    found: dict[str, Any] = {}
    for attribute in groups:
        values = groups[attribute].to_numpy(dtype=str)
        present = np.unique(values)
        if len(present) > 1:
            found[str(attribute)] = {
                str(value): {
                    "images": int((values == value).sum()),
                    "patients": _count(member[values == value]),
                    **_group(labels, values == value, smallest),
                }
                for value in present
            }
    _adjust(found)
    return found


@dataclass(frozen=True)
class _Label:
    """One class's images whose label is known, (n) each, by rising score: sorted once, they are quick to rank again."""

    name: str
    rows: npt.NDArray[np.intp]
    labels: Floats
    scores: Floats
    called: Flags
    member: npt.NDArray[np.intp]
    patients: int
    """In all."""

    def part(self, rows: Flags) -> "_Label":
        """Those among ``rows`` (N)."""
        here = rows[self.rows]
        return _Label(
            self.name,
            self.rows[here],
            self.labels[here],
            self.scores[here],
            self.called[here],
            self.member[here],
            self.patients,
        )

    def sizes(self) -> tuple[int, int]:
        """Patients with a positive image, and with a negative one."""
        return _count(self.member[self.labels == 1]), _count(self.member[self.labels == 0])

    def area(self) -> Influence:
        return influence.auroc(self.labels, self.scores, self.member, self.patients)

    def share(self, value: float) -> Influence:
        """Of the images with this label, the share that is called so, and what each patient adds to its error."""
        among = self.labels == value
        right = (self.called[among] == (value == 1)).astype(float)
        member, share = self.member[among], float(right.mean())
        patients = _count(member)
        added = np.bincount(member, right - share, minlength=self.patients) / len(right)
        return Influence(share, added * np.sqrt(patients / (patients - 1)))


def _labels(images: Judged, cuts: Mapping[str, float], member: npt.NDArray[np.intp], patients: int) -> Iterator[_Label]:
    called = images.called(cuts)
    for at, (k, name) in enumerate(zip(images.columns, images.counted, strict=True)):
        order = np.argsort(images.scores[:, k], kind="stable")
        order = order[~np.isnan(images.labels[order, k])]
        yield _Label(
            name, order, images.labels[order, k], images.scores[order, k], called[order, at], member[order], patients
        )


def _group(labels: Sequence[_Label], rows: Flags, smallest: int) -> dict[str, Any]:
    ours, theirs = [label.part(rows) for label in labels], [label.part(~rows) for label in labels]
    enough, others = ([min(label.sizes()) >= smallest for label in side] for side in (ours, theirs))
    found: dict[str, Any] = {"positives": {label.name: int((label.labels == 1).sum()) for label in ours}}
    both = [at for at in range(len(labels)) if enough[at] and others[at]]
    counted = both or [at for at in range(len(labels)) if enough[at]]
    if not counted:
        return found
    rest = _scores([theirs[at] for at in counted]) if both else None
    for name, score in _scores([ours[at] for at in counted]).items():
        found[name] = {
            **bootstrap.entry(score.value, score.low, score.high),
            "classes": [labels[at].name for at in counted],
            "gap": _gap(scores.gap(score, rest[name])) if rest else None,
        }
    return found


def _scores(labels: Sequence[_Label]) -> dict[str, Score]:
    """Each of ``METRICS``, a mean over the labels."""
    positive, negative = np.array([label.sizes() for label in labels]).T
    shares = {name: [label.share(value) for label in labels] for name, value in _SHARES.items()}
    return {
        "auroc": scores.of_area(influence.mean([label.area() for label in labels]), positive, negative),
        "sensitivity": scores.score(influence.mean(shares["sensitivity"]), positive.sum()),
        "specificity": scores.score(influence.mean(shares["specificity"]), negative.sum()),
    }


def _count(member: npt.NDArray[np.intp]) -> int:
    """How many patients there are among these."""
    return int(np.count_nonzero(np.bincount(member)))


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
