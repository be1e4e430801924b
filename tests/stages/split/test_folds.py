"""Properties of the folds, over any cohort that the split can make."""

from collections import Counter

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.artifacts.cohort import TIES, Cohort, Subset, Task
from stages.artifacts.folds import Folds
from stages.split import deal
from stages.split.folds import fold
from tests.stages.split.test_deal import FRACTIONS, Row, cohorts, one, people, table

CLASSES = ("a", "b", "c")


def made(rows: list[Row], fractions: dict[str, float] = FRACTIONS) -> Cohort:
    """The cohort of the images that the split places."""
    frame, labels = table(rows)
    frame["image"] = [f"image {number} of {row.batch}" for number, row in enumerate(rows)]
    sides = deal.deal(frame, labels, fractions)
    placed = sides.notna().to_numpy()
    frame = frame.assign(**{f"label:{name}": labels[:, k] for k, name in enumerate(CLASSES[: labels.shape[1]])})
    frame, sides = frame[placed].reset_index(drop=True), sides[placed].to_numpy(dtype=str)
    return Cohort(frame.assign(subset=sides, group=deal.groups(frame)), Task.MULTILABEL, CLASSES[: labels.shape[1]])


def of(folds: Folds) -> dict[str, int]:
    """Image to fold."""
    return dict(folds.frame[["image", "fold"]].itertuples(index=False, name=None))


@given(rows=cohorts(), count=st.integers(3, 6))
@settings(max_examples=20, deadline=None)
def test_images_of_train_and_val_are_in_one_fold_each_and_no_others(rows: list[Row], count: int) -> None:
    cohort = made(rows)
    folds = fold(cohort, count)
    open_ = set(cohort.frame.loc[cohort.frame["subset"] != Subset.TEST, "image"])
    assert folds.frame["image"].is_unique
    assert set(of(folds)) <= open_
    assert set(of(folds).values()) <= set(range(1, count + 1))
    first = set(cohort.frame.loc[cohort.frame["batch"] == cohort.frame["batch"].min(), "image"])
    assert first & open_ <= set(of(folds)), "within the first batch nobody is left out"


@given(rows=cohorts(), count=st.integers(3, 6))
@settings(max_examples=20, deadline=None)
def test_no_person_visit_or_look_is_in_two_folds(rows: list[Row], count: int) -> None:
    cohort = made(rows)
    folds = fold(cohort, count)
    joined = cohort.frame.drop(columns="group").merge(folds.frame, on="image")
    for tie in (*TIES, "group"):
        assert joined.groupby(tie)["fold"].nunique().max() == 1, f"a {tie} is in two folds"


@given(rows=cohorts(), count=st.integers(3, 6))
@settings(max_examples=20, deadline=None)
def test_who_is_left_out_would_tie_two_folds_together(rows: list[Row], count: int) -> None:
    """Itself, or through others of its batch."""
    cohort = made(rows)
    folds = of(fold(cohort, count))
    rest = cohort.frame[(cohort.frame["subset"] != Subset.TEST) & ~cohort.frame["image"].isin(folds)]
    for _, image in rest.iterrows():
        tied = cohort.frame[cohort.frame["group"] == image["group"]]
        assert len({folds[name] for name in tied["image"] if name in folds}) >= 2


@given(rows=cohorts(), count=st.integers(3, 6))
@settings(max_examples=20, deadline=None)
def test_a_later_batch_moves_nobody(rows: list[Row], count: int) -> None:
    whole = of(fold(made(rows), count))
    for batches in ("a", "ab"):
        before = [row for row in rows if row.batch in batches]
        if before:
            earlier = of(fold(made(before), count))
            assert {name: whole[name] for name in earlier} == earlier


def test_an_image_between_two_folds_is_left_out_and_its_patients_others_stay() -> None:
    rows = people(30, (1.0, 1.0, 1.0))
    cohort = made(rows)
    folds = of(fold(cohort, 3))
    by_fold = {number: rows[int(name.split()[1])] for name, number in folds.items()}
    between = one("b", "q", patient=by_fold[1].patient, pixel_sha256=by_fold[2].pixel_sha256)._replace(labels=(1, 1, 1))
    whole = made([*rows, between])
    found = of(fold(whole, 3))
    assert "image 30 of b" in set(whole.frame["image"])
    assert found == folds
    assert fold(whole, 3).cohort(whole, 1).frame["image"].tolist() == list(folds), "the folds do not leak"


@given(
    counts=st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40)),
    count=st.integers(3, 6),
    prefix=st.text("abc", max_size=4),
)
@settings(max_examples=20, deadline=None)
def test_every_stratum_is_dealt_evenly(counts: tuple[int, int, int], count: int, prefix: str) -> None:
    labels = [(1.0, 0.0), (0.0, 1.0), (0.0, 0.0)]
    rows = [row for n, label in zip(counts, labels, strict=True) for row in people(n, label, prefix=f"{prefix}{label}")]
    cohort = made(rows)
    joined = cohort.frame.merge(fold(cohort, count).frame, on="image")
    for label in labels:
        stratum = joined[(joined["label:a"] == label[0]) & (joined["label:b"] == label[1])]
        found = Counter(stratum["fold"])
        if len(stratum) >= count:
            assert set(found) == set(range(1, count + 1))
        assert all(abs(found[number] - len(stratum) / count) < 2 for number in range(1, count + 1))


def test_folds_are_not_dealt_as_the_split_is() -> None:
    """Else train's patients, who come one after another in the split's order, would end in the same folds."""
    rows = people(300, (1.0, 0.0, 0.0))
    cohort = made(rows)
    joined = cohort.frame.merge(fold(cohort, 5).frame, on="image")
    shares = pd.crosstab(joined["fold"], joined["subset"], normalize="index")["val"]
    assert np.allclose(shares, 0.2, atol=0.15)


def test_these_patients_are_dealt_so_for_ever() -> None:
    """Another outcome makes every cross-validation another one."""
    cohort = made(people(12, (1.0, 0.0)) + people(6, (0.0, 1.0), prefix="q"))
    assert " ".join(map(str, fold(cohort, 3).frame["fold"])) == "2 2 1 2 1 1 3 3 3 2 1 3 2"
