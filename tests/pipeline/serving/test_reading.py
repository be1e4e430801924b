"""A file becomes what the stages make of it, or is refused as they refuse it, or for its kind."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.serving.reading import Reader, require
from stages.artifacts.quarantine import Rejected
from stages.preprocess.convert import Image
from stages.reasons import Reason, Refused
from tests.dicom_files import make_dicom
from tests.pipeline.serving.conftest import DOMAIN, GOOD, INGEST, PREPROCESS, SIZE, Registered

KINDS = tuple((kind.modality, kind.body_part) for kind in DOMAIN)
READER = Reader(INGEST, PREPROCESS, KINDS)


@pytest.mark.parametrize("name", GOOD)
def test_the_images_are_those_that_the_stages_store(registered: Registered, name: str) -> None:
    read = READER(str(registered.files[name]))
    assert isinstance(read, list)
    assert np.array_equal(np.stack([image.pixels for image in read]), registered.images(name))


def test_of_several_frames_those_are_used_that_training_used(registered: Registered) -> None:
    read = READER(str(registered.files["cine"]))
    assert [image.frame for image in read if isinstance(image, Image)] == [0, 2, 4]


@pytest.mark.parametrize(
    ("attributes", "detail"),
    [
        ({"Modality": "MG", "BodyPartExamined": "BREAST"}, "modality MG; trained on CR, DX, US"),
        ({"Modality": None, "BodyPartExamined": "CHEST"}, "modality not stated; trained on CR, DX, US"),
        ({"Modality": "DX", "BodyPartExamined": "HAND"}, "body part HAND; trained on DX of CHEST"),
        ({"Modality": "DX"}, "body part not stated; trained on DX of CHEST"),
        ({"Modality": "US", "BodyPartExamined": "CHEST"}, "body part CHEST; trained on US of not stated"),
        ({"Modality": "DX", "BodyPartExamined": "Doe^Jane"}, "body part OTHER; trained on DX of CHEST"),
    ],
)
def test_another_kind_of_image_is_refused_in_words_of_the_vocabulary(
    tmp_path: Path, attributes: dict, detail: str
) -> None:
    make_dicom(tmp_path / "a", **attributes)
    assert READER(str(tmp_path / "a")) == Rejected("", Reason.OUT_OF_DOMAIN, detail)


def test_an_image_without_identifiers_is_answered_for(tmp_path: Path) -> None:
    unnamed = dict.fromkeys(("PatientID", "StudyInstanceUID", "SeriesInstanceUID"))
    make_dicom(tmp_path / "a", BodyPartExamined="CHEST", **unnamed)
    read = READER(str(tmp_path / "a"))
    assert isinstance(read, list)
    assert read[0].pixels.shape == (SIZE, SIZE)


def test_text_in_the_pixels_is_refused_as_in_ingest(tmp_path: Path) -> None:
    make_dicom(tmp_path / "yes", BodyPartExamined="CHEST", BurnedInAnnotation="YES")
    make_dicom(tmp_path / "unsaid", Modality="US")
    for name in ("yes", "unsaid"):
        read = READER(str(tmp_path / name))
        assert isinstance(read, Rejected)
        assert read.reason is Reason.BURNED_IN


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", Reason.NOT_DICOM), (b"a letter", Reason.NOT_DICOM), (None, Reason.UNREADABLE)]
)
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes | None, reason: Reason) -> None:
    path = tmp_path / "a"
    if content is not None:
        path.write_bytes(content)
    read = READER(str(path))
    assert isinstance(read, Rejected)
    assert read.reason is reason


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_file_cut_short_is_refused(tmp_path: Path, kept: float) -> None:
    make_dicom(tmp_path / "a", BodyPartExamined="CHEST")
    whole = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(whole[: int(len(whole) * kept)])
    read = READER(str(tmp_path / "a"))
    assert isinstance(read, Rejected)
    assert read.reason is Reason.TRUNCATED


WORDS = st.sampled_from([None, "CR", "DX", "MG", "CHEST", "HAND"])


@given(WORDS, WORDS, st.lists(st.tuples(WORDS, WORDS), min_size=1))
def test_exactly_the_kinds_that_were_seen_are_in_the_domain(
    modality: str | None, part: str | None, domain: list[tuple[str | None, str | None]]
) -> None:
    if (modality, part) in domain:
        require(modality, part, domain)
    else:
        with pytest.raises(Refused) as refused:
            require(modality, part, domain)
        assert refused.value.reason is Reason.OUT_OF_DOMAIN
