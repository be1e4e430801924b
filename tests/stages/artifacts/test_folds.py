from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages.artifacts.cohort import COLUMNS, Cohort, Subset, Task
from stages.artifacts.folds import Folds
from stages.runtime import UserError

CLASSES = ("normal", "sick")


def cohort(count: int = 30, sealed: int = 6) -> Cohort:
    """One image a patient; the last ones are on test."""
    frame = pd.DataFrame({name: [f"{name} {n}" for n in range(count)] for name, _ in COLUMNS})
    sides = np.resize([Subset.TRAIN.value, Subset.TRAIN.value, Subset.VAL.value], count)
    sides[count - sealed :] = Subset.TEST.value
    frame = frame.assign(row=np.arange(count), age=40.0, days=0, subset=sides)
    for column, name in enumerate(CLASSES):
        frame[f"label:{name}"] = (np.arange(count) % 2 == column).astype(float)
    return Cohort(frame, Task.BINARY, CLASSES)


def dealt(whole: Cohort, count: int = 4) -> Folds:
    frame = whole.frame[whole.frame["subset"] != Subset.TEST][["image", "group"]].reset_index(drop=True)
    return Folds(frame.assign(fold=np.arange(len(frame)) // 2 % count + 1), count)


def test_every_open_image_is_judged_once_chosen_on_once_and_else_trained_on() -> None:
    whole = cohort()
    sides = [dealt(whole).cohort(whole, number).frame for number in range(1, 5)]
    roles = pd.DataFrame({n: side.set_index("image")["subset"] for n, side in enumerate(sides)})
    assert sorted(roles.index) == sorted(whole.frame.loc[whole.frame["subset"] != Subset.TEST, "image"])
    for _, image in roles.iterrows():
        assert sorted(image) == ["test", "train", "train", "val"]


def test_the_fold_after_the_judged_one_chooses_and_after_the_last_the_first() -> None:
    whole = cohort()
    folds = dealt(whole)
    for judged, chooses in ((1, 2), (2, 3), (4, 1)):
        side = folds.cohort(whole, judged).frame.merge(folds.frame[["image", "fold"]], on="image")
        assert set(side.loc[side["subset"] == "test", "fold"]) == {judged}
        assert set(side.loc[side["subset"] == "val", "fold"]) == {chooses}


def test_rows_are_the_cohorts_but_for_their_sides() -> None:
    whole = cohort()
    side = dealt(whole).cohort(whole, 3)
    expected = whole.frame[whole.frame["subset"] != Subset.TEST].reset_index(drop=True)
    pd.testing.assert_frame_equal(side.frame.drop(columns="subset"), expected.drop(columns="subset"))
    assert (side.task, side.classes) == (whole.task, whole.classes)


def test_images_in_no_fold_are_in_no_role() -> None:
    whole = cohort()
    folds = dealt(whole)
    fewer = Folds(folds.frame[2:].reset_index(drop=True), folds.count)
    assert "image 0" not in set(fewer.cohort(whole, 2).frame["image"])


def test_a_group_in_two_folds_cannot_be() -> None:
    whole = cohort()
    folds = dealt(whole)
    leaking = whole.frame.assign(patient=whole.frame["patient"].replace("patient 0", "patient 2"))
    with pytest.raises(ValueError, match="leaks"):
        folds.cohort(Cohort(leaking, whole.task, whole.classes), 1)


@pytest.mark.parametrize("number", [0, 5, -1])
def test_a_fold_that_is_not_there_is_told(number: int) -> None:
    whole = cohort()
    with pytest.raises(UserError, match=f"no fold {number}: .* 1 to 4"):
        dealt(whole).cohort(whole, number)


def test_a_class_that_a_fold_lacks_is_told_before_any_fold_is_trained() -> None:
    whole = cohort()
    folds = dealt(whole)
    lacking = folds.frame["fold"].eq(3).to_numpy()
    frame = whole.frame.copy()
    frame.loc[np.flatnonzero(lacking), ["label:normal", "label:sick"]] = [1.0, 0.0]
    with pytest.raises(UserError, match="'sick' came to fold 3: it needs 4 patients"):
        folds.cohort(Cohort(frame, whole.task, whole.classes), 1)


def test_folds_of_another_cohort_are_refused() -> None:
    whole = cohort()
    folds = dealt(whole)
    with pytest.raises(UserError, match="another cohort"):
        folds.cohort(cohort(20, sealed=2), 1)
    sealed = whole.frame.assign(subset=np.where(whole.frame.index == 0, Subset.TEST.value, whole.frame["subset"]))
    with pytest.raises(UserError, match="another cohort"):
        folds.cohort(Cohort(sealed, whole.task, whole.classes), 1)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    folds = dealt(cohort())
    folds.write(tmp_path / "folds.parquet")
    found = Folds.read(tmp_path / "folds.parquet")
    assert found.count == 4
    pd.testing.assert_frame_equal(found.frame[["image", "fold"]], folds.frame[["image", "fold"]], check_dtype=False)
    with pytest.raises(UserError, match="is not here"):
        Folds.read(tmp_path / "none.parquet")
