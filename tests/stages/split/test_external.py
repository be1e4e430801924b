"""What is held out whole: a side that shares nobody with the others, and whose choice moves nobody among them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.artifacts.cohort import TIES, Cohort, Exclusion, Subset
from stages.runtime import UserError
from stages.split import cohort, deal, external
from stages.split.params import External
from stages.split.unlabelled import rest
from tests.stages.split.test_cohort import NAN, SECTION, alternating, images
from tests.stages.split.test_deal import FRACTIONS, Row, cohorts, table

choices = st.tuples(st.sets(st.sampled_from("abc")), st.sets(st.sampled_from("xyz")))


def held_out(rows: list[Row], sites: list[str], choice: tuple[set[str], set[str]]) -> list[str | None]:
    frame, labels = table(rows)
    frame["site"] = sites
    named = External(batches=sorted(choice[0]), sites=sorted(choice[1])).held_out(frame)
    found = external.hold_out(frame, deal.deal(frame, labels, FRACTIONS), named)
    return [None if pd.isna(side) else side for side in found]


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[Row], list[str], tuple[set[str], set[str]]]:
    rows = draw(cohorts())
    sites = draw(st.lists(st.sampled_from("xyz"), min_size=len(rows), max_size=len(rows)))
    return rows, sites, draw(choices)


@given(deliveries())
@settings(max_examples=100, deadline=None)
def test_nobody_is_on_two_sides_whatever_is_held_out(delivered: tuple) -> None:
    """Not even through a chain of ties between images that are used."""
    rows, sites, choice = delivered
    sides = held_out(rows, sites, choice)
    kept = [number for number, side in enumerate(sides) if side is not None]
    if not kept:
        return
    groups = deal.groups(table([rows[number] for number in kept])[0])
    found = pd.Series([sides[number] for number in kept]).groupby(groups).nunique()
    assert found.max() == 1


@given(deliveries())
@settings(max_examples=100, deadline=None)
def test_what_is_named_is_on_no_other_side_and_nothing_else_is_external(delivered: tuple) -> None:
    rows, sites, choice = delivered
    for row, site, side in zip(rows, sites, held_out(rows, sites, choice), strict=True):
        named = row.batch in choice[0] or site in choice[1]
        assert side is None or (side == Subset.EXTERNAL) == named


@given(deliveries())
@settings(max_examples=100, deadline=None)
def test_a_later_batch_moves_nobody_whatever_is_held_out(delivered: tuple) -> None:
    rows, sites, choice = delivered
    whole = held_out(rows, sites, choice)
    for batches in ("a", "ab"):
        before = [row for row in rows if row.batch in batches]
        if before:
            assert whole[: len(before)] == held_out(before, sites[: len(before)], choice)


@given(deliveries())
@settings(max_examples=100, deadline=None)
def test_the_choice_moves_nobody_among_the_other_sides(delivered: tuple) -> None:
    """So a test side before the choice and one after it can be compared."""
    rows, sites, choice = delivered
    before = held_out(rows, sites, (set(), set()))
    for was, now in zip(before, held_out(rows, sites, choice), strict=True):
        assert now in {was, Subset.EXTERNAL.value, None}


@given(deliveries())
@settings(max_examples=50, deadline=None)
def test_who_is_tied_to_nobody_is_held_out_and_not_left_out(delivered: tuple) -> None:
    rows, sites, choice = delivered
    alone = [all(sum(getattr(o, tie) == getattr(row, tie) for o in rows) == 1 for tie in TIES) for row in rows]
    for by_itself, side in zip(alone, held_out(rows, sites, choice), strict=True):
        assert not by_itself or side is not None


def delivery() -> pd.DataFrame:
    """Twenty patients of a first batch, and twenty of a second."""
    return pd.concat([images(20), images(20, "second")], ignore_index=True)


SECOND = SECTION.model_copy(update={"external": External(batches=["second"])})
VALUES = np.concatenate([alternating(20), alternating(20)])


def test_a_batch_held_out_is_a_side_and_the_first_is_as_it_was() -> None:
    made, excluded = cohort.build(delivery(), VALUES, SECOND)
    alone, _ = cohort.build(images(20), alternating(20), SECTION)

    assert excluded.empty
    assert made.sides == tuple(Subset)
    assert alone.sides == tuple(Subset)[:3]
    pd.testing.assert_frame_equal(made.frame.iloc[:20], alone.frame)
    assert set(made.frame["subset"].iloc[20:]) == {"external"}
    assert made.counts()["external"] == {"images": 20, "patients": 20, "classes": {"normal": 10, "sick": 10}}
    assert "external" not in alone.counts()
    assert "external 20 images of 20 patients" in cohort.summary(made, excluded)


def test_a_site_held_out_need_not_hold_every_class() -> None:
    frame = images(20)
    frame["site"] = np.where(np.arange(20) < 4, "away", "home")
    values = alternating(20)
    values[:4] = [1, 0]
    section = SECTION.model_copy(update={"external": External(sites=["away"])})
    made, _ = cohort.build(frame, values, section)
    assert made.counts()["external"]["classes"] == {"normal": 4, "sick": 0}


def test_images_of_a_patient_who_is_internal_are_left_out_and_so_the_other_way_round() -> None:
    frame = delivery()
    frame.loc[25, "patient"] = frame.loc[5, "patient"]  # internal before
    third = images(2, "third")
    third["patient"] = [frame.loc[30, "patient"], frame.loc[25, "patient"]]  # external before; internal for good
    frame = pd.concat([frame, third], ignore_index=True)

    made, excluded = cohort.build(frame, np.concatenate([VALUES, alternating(2)]), SECOND)

    assert excluded["image"].tolist() == ["image second 5", "image third 0"]
    assert set(excluded["reason"]) == {Exclusion.JOINS_SUBSETS.name}
    sides = made.frame.set_index("image")["subset"]
    assert sides["image third 1"] == sides["image first 5"]


def test_unlabelled_images_of_what_is_held_out_are_not_trained_on() -> None:
    frame = pd.concat([delivery(), images(3, "third")], ignore_index=True)
    frame.loc[41, "patient"] = frame.loc[31, "patient"]  # of a patient who is external
    values = np.concatenate([VALUES, np.full((3, 2), NAN, np.float32)])
    values[[22, 23]] = NAN
    made, _ = cohort.build(frame, values, SECOND)
    found = rest(frame, values, made, SECOND.external.held_out(frame))
    assert found["image"].tolist() == ["image third 0", "image third 2"]
    everything = rest(frame, values, made, np.zeros(len(frame), dtype=bool))
    assert "image second 2" in set(everything["image"]), "it is the choice that keeps them out"


def test_a_choice_of_which_nothing_is_left_is_refused() -> None:
    frame = delivery()
    frame.loc[20:, "patient"] = frame.loc[:19, "patient"].to_numpy()
    with pytest.raises(UserError, match=r"^split.external holds out no labelled image"):
        cohort.build(frame, VALUES, SECOND)


def test_a_cohort_that_shares_somebody_with_external_cannot_be_made_and_one_is_read_as_written(workspace: Path) -> None:
    made, _ = cohort.build(delivery(), VALUES, SECOND)
    made.write()
    pd.testing.assert_frame_equal(Cohort.read().frame, made.frame, check_dtype=False)
    leaking = made.frame.copy()
    leaking.loc[25, "patient"] = leaking.loc[5, "patient"]
    with pytest.raises(ValueError, match="1 patient keys are on two sides"):
        Cohort(leaking, made.task, made.classes)
