import re

import numpy as np
import pandas as pd
import pytest

from stages.artifacts.cohort import Task
from stages.labels import Labels
from stages.preflight import fit
from stages.preprocess.params import Most, PreprocessParams
from stages.runtime import UserError
from stages.split.params import External, Fractions, SplitParams

CLASSES = ["normal", "sick"]


def section(**changes: object) -> SplitParams:
    given = SplitParams(
        labels="labels.csv",
        key="SOPInstanceUID",
        task=Task.BINARY,
        classes=CLASSES,
        fractions=Fractions(train=0.6, val=0.2, test=0.2),
    )
    return given.model_copy(update=changes)


def images(count: int, batch: str = "first") -> pd.DataFrame:
    """What preflight takes from the index: as many images of as many patients."""
    return pd.DataFrame(
        {
            "instance": [f"{batch} {number}" for number in range(count)],
            "patient": [f"patient {batch} {number}" for number in range(count)],
            "batch": batch,
        }
    )


def table(keys: list[str]) -> Labels:
    """A label for each key: normal, sick, normal..."""
    values = np.eye(2, dtype=np.float32)[np.arange(len(keys)) % 2]
    return Labels("instance", pd.DataFrame(values, index=keys, columns=CLASSES))


def refused(*args: object) -> str:
    """What the user is told: one line, about nobody."""
    with pytest.raises(UserError) as raised:
        fit.check_labels(*args)  # type: ignore[arg-type]
    said = str(raised.value)
    assert "\n" not in said
    assert "patient first" not in said
    assert not re.search("(first|second|strange) [0-9]", said), "a key of an image"
    return said


def test_labels_that_fit_are_counted() -> None:
    here = images(10)
    said = fit.check_labels(here, table([*here["instance"], "strange 1"]), section(), 1)
    assert said == "10 of 10 images are labelled; 1 labels have no image"


def test_labels_that_meet_no_image_point_to_the_key_column_and_the_key() -> None:
    said = refused(images(10), table(["strange 1", "strange 2"]), section(unlabelled="ignore"), 99)
    assert "not one label in labels.csv meets an image" in said
    assert "split.key (SOPInstanceUID)" in said
    assert "ingest.key_file" in said


def test_labels_that_say_nothing_meet_no_image() -> None:
    here = images(3)
    blank = Labels("instance", pd.DataFrame(np.nan, index=here["instance"], columns=CLASSES))
    assert "not one label" in refused(here, blank, section(), 0)


def test_images_without_a_label_are_counted_by_batch() -> None:
    here = pd.concat([images(10), images(10, "second")], ignore_index=True)
    missing = {"first 3", "second 0", "second 1"}
    said = refused(here, table([key for key in here["instance"] if key not in missing]), section(), 0)
    assert "1 in first" in said
    assert "2 in second" in said
    assert "split.unlabelled: ignore" in said


def test_images_without_a_label_can_be_left_out() -> None:
    here = images(12)
    said = fit.check_labels(here, table(list(here["instance"][:8])), section(unlabelled="ignore"), 0)
    assert said == "8 of 12 images are labelled; 0 labels have no image"


def test_labels_of_unknown_images_are_forgiven_up_to_the_number_of_quarantined_files() -> None:
    here = images(10)
    labels = table([*here["instance"], "strange 1", "strange 2"])
    assert "2 labels have no image" in fit.check_labels(here, labels, section(), 2)

    said = refused(here, labels, section(), 1)
    assert "2 of 12 labels in labels.csv are for images that no batch holds (1 files are in quarantine)" in said
    assert "split.unknown_labels: ignore" in said

    assert "2 labels have no image" in fit.check_labels(here, labels, section(unknown_labels="ignore"), 0)


def test_a_class_needs_a_patient_for_every_side() -> None:
    here = images(20)
    here.loc[[1, 3, 5, 7], "patient"] = ["patient first 1", "patient first 1", "patient first 1", "patient first 7"]
    labels = table(list(here["instance"]))
    labels.values.loc[[f"first {number}" for number in range(9, 20)]] = [1, 0]  # noqa: PD011 - its own attribute
    said = refused(here, labels, section(), 0)
    assert said.startswith("class 'sick' has 2 patients"), "patients are counted, not their images"
    assert "split.classes" in said

    here.loc[3, "patient"] = "patient first 3"
    assert "20 of 20" in fit.check_labels(here, labels, section(), 0)


def test_a_class_that_no_image_has_is_refused() -> None:
    here = images(20)
    labels = table(list(here["instance"]))
    wider = Labels("instance", labels.values.assign(rare=0.0))  # noqa: PD011 - its own attribute
    assert "class 'rare' has 0 patients" in refused(here, wider, section(classes=[*CLASSES, "rare"]), 0)


def test_patients_whose_images_are_left_out_do_not_count_for_a_class() -> None:
    here = images(20)
    said = refused(here, table(list(here["instance"][:5])), section(unlabelled="ignore"), 0)
    assert "class 'sick' has 2 patients" in said


def test_bytes_needed_grow_with_frames_up_to_their_maximum_and_with_pixels() -> None:
    def needed(frames: list[float], size: int = 64, max_frames: int = 16) -> int:
        return fit.bytes_needed(
            pd.DataFrame({"frames": frames}), PreprocessParams(size=size, frames=Most(max=max_frames))
        )

    single = needed([1])
    assert single > 2 * 64 * 64, "in the workspace and in DVC's cache"
    assert needed([np.nan]) == needed([0]) == single, "a file that does not say has one frame"
    assert needed([4, 1]) == pytest.approx(5 * single, abs=5)
    assert needed([1000]) == pytest.approx(16 * single, abs=16)
    assert needed([1000], max_frames=2) == pytest.approx(2 * single, abs=2)
    assert needed([1], size=128) - single >= 2 * (128**2 - 64**2)


def test_a_disk_without_room_is_refused_with_both_numbers() -> None:
    fit.check_disk(2**30, 2**30)
    with pytest.raises(UserError, match=r"has 1.5 GiB free and this run needs about 3.0 GiB.*preprocess.size"):
        fit.check_disk(3 * 2**30, 3 * 2**29)


def test_a_class_needs_three_patients_beside_those_held_out() -> None:
    here = pd.concat([images(4), images(10, "second")], ignore_index=True).assign(site=None)
    labels = table(here["instance"].tolist())
    assert fit.check_labels(here, labels, section(), 0)
    said = refused(here, labels, section(external=External(batches=["second"])), 0)
    assert "class 'normal' has 2 patients beside those that split.external holds out" in said


def test_a_site_that_nobody_has_is_named_with_those_there_are() -> None:
    here = images(10).assign(site=[*["aa"] * 6, *["bb"] * 3, None])
    said = refused(here, table(here["instance"].tolist()), section(external=External(sites=["cc"])), 0)
    assert said == "split.external.sites: no image is of site 'cc': the sites are aa (6 images), bb (3 images)"
    said = refused(here.assign(site=None), table(here["instance"].tolist()), section(external=External(sites=["c"])), 0)
    assert said.endswith("the sites are not stated")
    many = here.assign(site=[f"s{number:02}" for number in range(10)])
    many = pd.concat([many, images(2, "second").assign(site=["s10", "s11"])], ignore_index=True)
    said = refused(many, table(many["instance"].tolist()), section(external=External(sites=["cc"])), 0)
    assert said.endswith(" and 2 more")


def test_everything_cannot_be_held_out() -> None:
    here = images(10).assign(site="aa")
    said = refused(here, table(here["instance"].tolist()), section(external=External(sites=["aa"])), 0)
    assert said.startswith("split.external holds out every image")
