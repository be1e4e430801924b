from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pytest

from stages.artifacts.cohort import COLUMNS, DEALT, TIES, Cohort, Exclusion, Task
from stages.runtime import UserError
from stages.split import cohort
from stages.split.params import Fractions, SplitParams

SECTION = SplitParams(
    labels="labels.csv",
    key="PatientID",
    task="binary",  # type: ignore[arg-type] - as it stands in params.yaml
    classes=["normal", "sick"],
    fractions=Fractions(train=0.6, val=0.2, test=0.2),
)

NAN = float("nan")


def images(count: int, batch: str = "first") -> pd.DataFrame:
    """Images of as many patients, with what a batch's table has and a cohort has not, too."""
    frame = pd.DataFrame(index=range(count))
    for name, kind in COLUMNS:
        if name in {"group", "subset", "days"}:
            continue
        frame[name] = [f"{name} {batch} {n}" for n in range(count)] if kind == pa.string() else np.arange(count)
    return frame.assign(batch=batch, day=0, decoder="of no use to later stages")


def alternating(count: int) -> npt.NDArray[np.float32]:
    """(count, 2) labels: normal, sick, normal..."""
    return np.eye(2, dtype=np.float32)[np.arange(count) % 2]


def test_every_labelled_image_keeps_its_label_and_gets_a_side() -> None:
    frame, values = images(20), alternating(20)

    made, excluded = cohort.build(frame, values, SECTION)

    assert excluded.empty
    assert made.frame["image"].tolist() == frame["image"].tolist()
    np.testing.assert_array_equal(made.labels(), values)
    assert made.frame.columns.tolist() == [*(name for name, _ in COLUMNS), "label:normal", "label:sick"]
    assert made.task is Task.BINARY
    assert made.classes == ("normal", "sick")
    assert set(made.frame["subset"]) == {side.value for side in DEALT}
    assert made.frame["group"].tolist() == frame["patient"].tolist(), "nothing ties them"


def test_dates_become_days_since_the_patients_first_study_in_any_batch() -> None:
    frame = pd.concat([images(20).assign(day=500), images(20, "later").assign(day=730)], ignore_index=True)
    frame.loc[25, "patient"] = frame.loc[5, "patient"]
    frame.loc[6, "day"] = NAN
    values = np.concatenate([alternating(20), alternating(20)])
    values[5] = NAN  # the first study counts, labelled or not

    made, _ = cohort.build(frame, values, SECTION)

    days = made.frame.set_index("image")["days"]
    assert days.pop("image later 5") == 230
    assert np.isnan(days.pop("image first 6"))
    assert set(days) == {0}


def test_an_image_that_came_with_two_deliveries_counts_once() -> None:
    first, later = images(20), images(10, "later")
    overlap = first.iloc[:6].assign(batch="later")
    frame = pd.concat([first, overlap, later], ignore_index=True)
    values = np.concatenate([alternating(20), alternating(6), alternating(10)])

    made, excluded = cohort.build(frame, values, SECTION)

    assert made.frame["image"].is_unique
    assert len(made.frame) == 30
    assert set(excluded["reason"]) == {Exclusion.DUPLICATE.name}
    assert set(excluded["batch"]) == {"later"}
    with pytest.raises(ValueError, match="twice"):
        Cohort(pd.concat([made.frame, made.frame.iloc[:1]], ignore_index=True), made.task, made.classes)


def test_images_without_a_label_are_left_out_with_the_reason_and_do_not_count() -> None:
    frame, values = images(20), alternating(20)
    values[[3, 8]] = NAN

    made, excluded = cohort.build(frame, values, SECTION)
    alone, _ = cohort.build(frame.drop(index=[3, 8]), np.delete(values, [3, 8], axis=0), SECTION)

    assert excluded.columns.tolist() == ["image", "batch", "reason"]
    assert excluded["image"].tolist() == ["image first 3", "image first 8"]
    assert set(excluded["reason"]) == {"UNLABELLED"}
    np.testing.assert_array_equal(made.labels(), np.delete(values, [3, 8], axis=0))
    pd.testing.assert_frame_equal(made.frame, alone.frame)


def test_an_image_with_one_known_label_of_several_is_labelled() -> None:
    section = SECTION.model_copy(update={"task": Task.MULTILABEL})
    values = alternating(20)
    values[0] = [1, NAN]
    made, excluded = cohort.build(images(20), values, section)
    assert excluded.empty
    np.testing.assert_array_equal(made.labels()[0], [1, NAN])


def test_an_image_that_would_join_two_sides_is_left_out_with_the_reason() -> None:
    first, values = images(20), alternating(20)
    sides = cohort.build(first, values, SECTION)[0].frame["subset"]
    train, test = (first[sides == side].iloc[0] for side in ("train", "test"))
    later = images(2, "second")
    later.loc[0, ["patient", "pixel_sha256"]] = [train["patient"], test["pixel_sha256"]]
    later.loc[1, "patient"] = test["patient"]

    both = pd.concat([first, later], ignore_index=True)
    made, excluded = cohort.build(both, alternating(22), SECTION)

    assert excluded.to_dict("records") == [{"image": "image second 0", "batch": "second", "reason": "JOINS_SUBSETS"}]
    assert made.frame["subset"].tolist() == [*sides, "test"]
    np.testing.assert_array_equal(made.labels(), alternating(22)[[*range(20), 21]])
    assert made.frame["group"].iloc[-1] == test["patient"]


def test_patients_whose_images_look_the_same_are_one_group() -> None:
    frame = images(20)
    frame.loc[[4, 11, 17], "perceptual_hash"] = "the same"
    made, _ = cohort.build(frame, alternating(20), SECTION)
    alike = made.frame.loc[[4, 11, 17]]
    assert set(alike["group"]) == {min(alike["patient"])}
    assert len(set(alike["subset"])) == 1


def test_a_cohort_is_read_as_it_was_written(workspace: Path) -> None:
    values = alternating(20)
    values[0] = NAN
    made, excluded = cohort.build(images(20), values, SECTION)
    made.write()
    Cohort.write_excluded(excluded)

    read = Cohort.read()
    assert (read.task, read.classes) == (made.task, made.classes)
    pd.testing.assert_frame_equal(read.frame, made.frame, check_dtype=False)
    assert Path("data/excluded.csv").read_text() == "image,batch,reason\nimage first 0,first,UNLABELLED\n"


@pytest.mark.parametrize("tie", ["group", *TIES])
def test_a_cohort_that_leaks_cannot_be_made(tie: str) -> None:
    made, _ = cohort.build(images(20), alternating(20), SECTION)
    frame = made.frame.copy()
    both = [(frame["subset"] == side).idxmax() for side in ("train", "test")]
    frame.loc[both, tie] = "the same"
    with pytest.raises(ValueError, match=f"1 {tie} keys are on two sides"):
        Cohort(frame, made.task, made.classes)


def test_without_a_label_there_is_no_cohort() -> None:
    with pytest.raises(UserError, match=r"no image has a label: check split.labels and split.key"):
        cohort.build(images(5), np.full((5, 2), NAN, np.float32), SECTION)


@pytest.mark.parametrize("sick", [0, 1, 2])
def test_a_class_that_a_side_lacks_is_refused_by_name_and_about_nobody(sick: int) -> None:
    frame = images(20).map(lambda value: f"Zebedee {value}" if isinstance(value, str) else value)
    values = np.tile(np.array([1, 0], np.float32), (20, 1))
    values[:sick] = [0, 1]
    with pytest.raises(UserError) as raised:
        cohort.build(frame, values, SECTION)
    said = str(raised.value)
    assert said.startswith("no patient with 'sick' came to ")
    assert "three patients at least" in said
    assert "split.classes" in said
    assert "Zebedee" not in said
    assert "\n" not in said


def test_three_patients_of_a_class_are_enough() -> None:
    values = np.tile(np.array([1, 0], np.float32), (20, 1))
    values[:3] = [0, 1]
    made, _ = cohort.build(images(20), values, SECTION)
    assert [side["classes"]["sick"] for side in made.counts().values()] == [1, 1, 1]


def test_the_summary_counts_images_patients_and_what_was_left_out() -> None:
    frame, values = images(20), alternating(20)
    frame.loc[1, "patient"] = frame.loc[3, "patient"]
    values[[7, 8]] = NAN
    made, excluded = cohort.build(frame, values, SECTION)

    said = cohort.summary(made, excluded)

    counts = made.counts()
    assert sum(side["images"] for side in counts.values()) == 18
    assert sum(side["patients"] for side in counts.values()) == 17
    for name, side in counts.items():
        assert f"{name} {side['images']} images of {side['patients']} patients" in said
        assert side["images"] == side["classes"]["normal"] + side["classes"]["sick"]
    assert said.endswith(f"left out: 2 {Exclusion.UNLABELLED.name}")
    assert cohort.summary(*cohort.build(frame, alternating(20), SECTION)).endswith("left out: none")
