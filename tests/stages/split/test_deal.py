"""Properties of the deal, over any cohort: small pools of keys, so that ties of every kind and chains of them occur."""

from collections import Counter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.artifacts.cohort import TIES
from stages.split import deal

SIDES = ["train", "val", "test"]
FRACTIONS = {"train": 0.6, "val": 0.15, "test": 0.25}


class Row(NamedTuple):
    batch: str
    patient: str
    study: str
    pixel_sha256: str
    perceptual_hash: str
    labels: tuple[float, ...]


def table(rows: list[Row]) -> tuple[pd.DataFrame, npt.NDArray[np.float32]]:
    """As split holds them: images, and (N, K) labels."""
    frame = pd.DataFrame([row[:-1] for row in rows], columns=["batch", *TIES])
    return frame, np.array([row.labels for row in rows], np.float32)


def dealt(rows: list[Row], fractions: dict[str, float] = FRACTIONS) -> list[str | None]:
    """The side of every row."""
    sides = deal.deal(*table(rows), fractions)
    return [None if pd.isna(side) else side for side in sides]


def people(count: int, label: tuple[float, ...] = (1.0, 0.0), batch: str = "a", prefix: str = "p") -> list[Row]:
    """Patients with one image each, tied to nobody."""
    names = [f"{prefix}{number}" for number in range(count)]
    return [Row(batch, name, f"study {name}", f"pixels {name}", f"look {name}", label) for name in names]


def one(batch: str, prefix: str, **keys: str) -> Row:
    """A patient with one image, tied to others by ``keys`` only."""
    return people(1, batch=batch, prefix=prefix)[0]._replace(**keys)


values = st.sampled_from([0.0, 1.0, float("nan")])


@st.composite
def cohorts(draw: st.DrawFn, batches: int = 3) -> list[Row]:
    """Images in the order of their batches; each key is its own or one of a few that are shared."""
    pick, batch = st.integers(-14, 6), st.sampled_from("abc"[:batches])
    row, count = st.tuples(batch, st.tuples(pick, pick, pick, pick), st.tuples(*[values] * 3)), draw(st.integers(1, 30))
    drawn = draw(st.lists(row, min_size=count, max_size=count))
    rows = []
    for number, (name, picks, label) in enumerate(drawn):
        keys = [f"{tie} {n}" if n >= 0 else f"{tie} of {number}" for tie, n in zip(TIES, picks, strict=True)]
        rows.append(Row(name, *keys, label))
    return sorted(rows, key=lambda row: row.batch)


fractions = st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 20)).map(
    lambda parts: {side: part / sum(parts) for side, part in zip(SIDES, parts, strict=True)}
)


@given(rows=cohorts(), fractions=fractions)
@settings(max_examples=50, deadline=None)
def test_no_person_visit_or_look_is_on_two_sides(rows: list[Row], fractions: dict[str, float]) -> None:
    sides = dealt(rows, fractions)
    for tie in TIES:
        found: dict[str, set[str]] = {}
        for row, side in zip(rows, sides, strict=True):
            if side is not None:
                found.setdefault(getattr(row, tie), set()).add(side)
        assert all(len(several) == 1 for several in found.values()), f"a {tie} is on two sides"


@given(rows=cohorts())
@settings(max_examples=30, deadline=None)
def test_a_group_is_whoever_a_chain_of_ties_joins(rows: list[Row]) -> None:
    """And it is named by its least patient, wherever the chain runs."""
    groups = deal.groups(table(rows)[0])
    chains: list[set[int]] = []
    keys = [{(tie, getattr(row, tie)) for tie in TIES} for row in rows]
    for number in range(len(rows)):  # the slow and simple way
        tied = [chain for chain in chains if any(keys[number] & keys[member] for member in chain)]
        chains = [chain for chain in chains if chain not in tied] + [{number}.union(*tied)]
    for chain in chains:
        assert {groups[number] for number in chain} == {min(rows[number].patient for number in chain)}


@given(rows=cohorts(), fractions=fractions)
@settings(max_examples=50, deadline=None)
def test_a_later_batch_moves_nobody(rows: list[Row], fractions: dict[str, float]) -> None:
    whole = dealt(rows, fractions)
    for batches in ("a", "ab"):
        before = [row for row in rows if row.batch in batches]
        if before:
            assert whole[: len(before)] == dealt(before, fractions)


@given(rows=cohorts(), data=st.data())
@settings(max_examples=30, deadline=None)
def test_the_order_of_rows_does_not_matter(rows: list[Row], data: st.DataObject) -> None:
    """Only that of batches does: the order they came in."""
    mixed = data.draw(st.permutations(range(len(rows))))
    mixed = sorted(mixed, key=lambda number: rows[number].batch)
    sides = dealt(rows)
    assert dealt([rows[number] for number in mixed]) == [sides[number] for number in mixed]


@given(rows=cohorts(batches=1))
@settings(max_examples=50, deadline=None)
def test_within_the_first_batch_nobody_is_left_out(rows: list[Row]) -> None:
    assert set(dealt(rows)) <= set(SIDES)


@given(
    counts=st.tuples(st.integers(1, 30), st.integers(1, 30), st.integers(1, 30)),
    fractions=fractions,
    prefix=st.text("abc", max_size=4),
)
@settings(max_examples=50, deadline=None)
def test_every_stratum_meets_the_fractions_to_within_one_and_reaches_every_side(
    counts: tuple[int, int, int], fractions: dict[str, float], prefix: str
) -> None:
    """Two classes, and patients with neither, who are a stratum too."""
    labels = [(1.0, 0.0), (0.0, 1.0), (0.0, 0.0)]
    strata = [people(n, label, prefix=f"{prefix}{label}") for n, label in zip(counts, labels, strict=True)]
    sides = iter(dealt([row for stratum in strata for row in stratum], fractions))
    for stratum in strata:
        found = Counter(next(sides) for _ in stratum)
        wanted = {side: fraction * len(stratum) for side, fraction in fractions.items()}
        lifted = 0
        if len(stratum) >= 3:
            assert set(found) == set(SIDES)
            lifted = sum(share < 1 for share in wanted.values())  # these may be lifted to 1, and another side pays
        for side, share in wanted.items():
            assert abs(found[side] - share) < 1 + lifted + 1e-9


@given(count=st.integers(3, 12), prefix=st.text("abc", max_size=4))
@settings(max_examples=50, deadline=None)
def test_groups_are_counted_and_not_images(count: int, prefix: str) -> None:
    """The first of these patients has as many images as all the others together."""
    rows = people(count, prefix=prefix)
    more = [rows[0]._replace(study=f"more {n}", pixel_sha256=f"more {n}") for n in range(count)]
    sides = dealt(rows + more)
    assert sides[:count] == dealt(rows)
    assert set(sides[:count]) == set(SIDES)
    assert set(sides[count:]) == {sides[0]}


def test_a_patient_with_two_labels_is_dealt_with_those_of_the_rarer_one() -> None:
    """Three have the rare label and all have the common one: dealt by that, the rare ones can end on one side."""
    for name in "abcdefgh":
        rows = people(20, (1.0, 0.0), prefix=name) + people(3, (1.0, 1.0), prefix=f"rare {name}")
        assert sorted(str(side) for side in dealt(rows)[-3:]) == sorted(SIDES)


def test_batches_of_one_patient_come_near_the_fractions_too() -> None:
    """As patients trickle in, one batch each: who is alone is not always dealt to train."""
    sides = Counter(dealt([one(f"{number:03d}", f"{number}-") for number in range(200)]))
    for side, fraction in FRACTIONS.items():
        assert abs(sides[side] / 200 - fraction) < 0.1  # three standard deviations


@pytest.mark.parametrize("tie", TIES)
def test_an_image_tied_to_an_earlier_one_goes_where_that_is(tie: str) -> None:
    first = people(30)
    new = people(30, batch="b", prefix="q")
    sides = dealt(first + [row._replace(**{tie: getattr(old, tie)}) for row, old in zip(new, first, strict=True)])
    assert sides[:30] == sides[30:]
    assert set(sides) == set(SIDES)


EARLIER = people(20)
ON = dict(zip(dealt(EARLIER), EARLIER, strict=True))
"""One of them for each side."""


def test_an_image_tied_to_two_sides_is_left_out_and_its_patients_others_stay() -> None:
    between = one("b", "q", patient=ON["train"].patient, pixel_sha256=ON["test"].pixel_sha256)
    another = one("b", "r", patient=ON["train"].patient)
    assert dealt([*EARLIER, between, another])[20:] == [None, "train"]


def test_a_group_tied_to_two_sides_through_different_images_is_left_out() -> None:
    like_train = one("b", "q", pixel_sha256=ON["train"].pixel_sha256)
    like_val = like_train._replace(study="another", pixel_sha256=ON["val"].pixel_sha256)
    like_nobody = like_train._replace(study="third", pixel_sha256="its own")
    sides = dealt([*EARLIER, like_train, like_val, like_nobody, one("b", "free")])
    assert sides[20:23] == [None, None, None]
    assert sides[23] in SIDES, "others of that batch are dealt"


def test_who_was_left_out_ties_nobody_later() -> None:
    between = one("b", "q", study=ON["train"].study, pixel_sha256=ON["test"].pixel_sha256)
    later = [between._replace(batch="c", study=f"new {n}", pixel_sha256=f"new {n}") for n in range(2)]
    sides = dealt([*EARLIER, between, *later])
    assert sides[20] is None
    assert sides[21] == sides[22]
    assert sides[21] in SIDES


def test_these_patients_are_dealt_so_for_ever() -> None:
    """Another outcome moves patients of everybody's cohorts, from what trained a model to what judges it."""
    sides = dealt(people(8) + people(4, (0.0, 1.0), prefix="q"))
    assert " ".join(map(str, sides[:8])) == "train val train train train test test train"
    assert " ".join(map(str, sides[8:])) == "train val test train"
