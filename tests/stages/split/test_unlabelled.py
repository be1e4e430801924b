from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.artifacts import unlabelled
from stages.artifacts.cohort import DEALT, TIES, Cohort, Subset
from stages.runtime import UserError
from stages.split import cohort
from stages.split.unlabelled import rest
from tests.stages.split.test_cohort import NAN, SECTION, alternating, images

PATIENTS = 20
FEW = 10


def nobody(frame: pd.DataFrame) -> np.ndarray:
    return np.zeros(len(frame), dtype=bool)


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[pd.DataFrame, np.ndarray]:
    """One labelled image of each of ten patients; then others, labelled or not, tied to them, to one another or not."""
    later = draw(st.integers(0, 8))
    frame = pd.concat([images(FEW), images(later, "later")], ignore_index=True)
    ties = {kind: frame[kind].tolist() for kind in TIES}
    for row in range(FEW, FEW + later):
        for kind in draw(st.sets(st.sampled_from(TIES), max_size=2)):
            ties[kind][row] = ties[kind][draw(st.integers(0, row - 1))]
    values = alternating(len(frame))
    values[FEW:][draw(st.lists(st.booleans(), min_size=later, max_size=later))] = NAN
    return frame.assign(**ties), values


@settings(max_examples=40, deadline=None)
@given(deliveries())
def test_nobody_on_val_or_test_and_nobody_tied_to_them_is_among_the_unlabelled(delivered: tuple) -> None:
    frame, values = delivered
    made, _ = cohort.build(frame, values, SECTION)

    found = rest(frame, values, made, nobody(frame))

    held = made.frame[made.frame["subset"] != Subset.TRAIN]
    for kind in TIES:
        assert not set(found[kind]) & set(held[kind])
    without = frame[np.isnan(values).all(axis=1)]
    assert set(found["image"]) <= set(without["image"])
    alone = [all((frame[kind] == row[kind]).sum() == 1 for kind in TIES) for _, row in without.iterrows()]
    assert set(without.loc[alone, "image"]) <= set(found["image"]), "who is tied to nobody is not left out"


def test_images_of_new_patients_and_of_train_come_in_and_others_stay_out() -> None:
    first = images(PATIENTS)
    sides = cohort.build(first, alternating(PATIENTS), SECTION)[0].frame["subset"]
    of = {side: first[sides == side].iloc[0] for side in DEALT}
    later = images(6, "later")
    later.loc[0, "patient"] = of[Subset.TRAIN]["patient"]
    later.loc[1, "patient"] = of[Subset.VAL]["patient"]
    later.loc[2, "patient"] = of[Subset.TEST]["patient"]
    later.loc[3, "perceptual_hash"] = of[Subset.TEST]["perceptual_hash"]
    later.loc[4, "patient"] = later.loc[3, "patient"]  # looks like nobody, but its patient does
    frame = pd.concat([first, later, later.iloc[[5]].assign(batch="again")], ignore_index=True)
    frame.loc[20, "day"] = 7
    values = np.concatenate([alternating(PATIENTS), np.full((7, 2), NAN, np.float32)])
    made, excluded = cohort.build(frame, values, SECTION)

    found = rest(frame, values, made, nobody(frame))

    assert found["image"].tolist() == ["image later 0", "image later 5"]
    assert found["batch"].tolist() == ["later", "later"]
    assert found["days"].tolist() == [7, 0]
    assert (excluded["reason"] == "UNLABELLED").sum() == 7


def test_the_table_is_read_as_it_was_written_and_may_be_empty(workspace: Path) -> None:
    frame = pd.concat([images(PATIENTS), images(3, "later")], ignore_index=True)
    values = np.concatenate([alternating(PATIENTS), np.full((3, 2), NAN, np.float32)])
    made, _ = cohort.build(frame, values, SECTION)
    found = rest(frame, values, made, nobody(frame))
    unlabelled.write(found, made)
    pd.testing.assert_frame_equal(unlabelled.read(made), found, check_dtype=False)
    assert unlabelled.read(made).columns.tolist() == unlabelled.SCHEMA.names
    assert not {"subset", "group"} & set(unlabelled.SCHEMA.names)

    unlabelled.write(found.iloc[:0], made)
    assert unlabelled.read(made).empty
    Path(unlabelled.PATH).unlink()
    with pytest.raises(UserError, match="run 'dvc repro'"):
        unlabelled.read(made)


@pytest.mark.parametrize("side", [Subset.VAL, Subset.TEST])
@pytest.mark.parametrize("kind", TIES)
def test_a_table_that_leaks_is_neither_written_nor_read(workspace: Path, kind: str, side: Subset) -> None:
    frame = pd.concat([images(PATIENTS), images(3, "later")], ignore_index=True)
    values = np.concatenate([alternating(PATIENTS), np.full((3, 2), NAN, np.float32)])
    made, _ = cohort.build(frame, values, SECTION)
    found = rest(frame, values, made, nobody(frame))
    unlabelled.write(found, made)
    sides = made.frame.copy()
    sides.loc[sides["subset"] == side, kind] = found.loc[1, kind]
    leaking = Cohort(sides, made.task, made.classes)
    with pytest.raises(ValueError, match=f"1 {kind} keys are on val, test or external"):
        unlabelled.write(found, leaking)
    with pytest.raises(ValueError, match=f"1 {kind} keys are on val, test or external"):
        unlabelled.read(leaking)
