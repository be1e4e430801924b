import os
import tracemalloc
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet
from pydicom.uid import (
    BasicTextSRStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from stages.ingest import header
from stages.reasons import Reason, Refused
from tests.dicom_files import chest, make_dicom

PIXEL_DATA = b"\xe0\x7f\x10\x00OW"
SYNTAXES = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    RLELossless,
    JPEGLSLossless,
    JPEG2000Lossless,
]


def read(content: bytes):
    return header.read(BytesIO(content), len(content))


def refused(content: bytes) -> Reason:
    with pytest.raises(Refused) as caught:
        read(content)
    return caught.value.reason


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    for syntax in SYNTAXES:
        make_dicom(folder / syntax, np.stack([chest(1), chest(2)]), transfer_syntax=syntax)
    return {syntax: (folder / syntax).read_bytes() for syntax in SYNTAXES}


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_whole_file_is_read_without_its_pixels(syntax: str, whole: dict[str, bytes]) -> None:
    dataset = read(whole[syntax])

    assert dataset.file_meta.TransferSyntaxUID == syntax
    assert (dataset.Rows, dataset.Columns, dataset.NumberOfFrames) == (48, 40, 2)
    assert "PixelData" not in dataset


@given(syntax=st.sampled_from(SYNTAXES), kept=st.floats(0, 1, exclude_max=True))
@settings(max_examples=150, deadline=None)
def test_a_file_cut_anywhere_is_never_accepted(syntax: str, kept: float, whole: dict[str, bytes]) -> None:
    content = whole[syntax][: int(kept * len(whole[syntax]))]

    refused(content)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_file_cut_in_its_pixels_is_truncated(syntax: str, whole: dict[str, bytes]) -> None:
    assert refused(whole[syntax][:-60]) is Reason.TRUNCATED


def test_pixel_data_shorter_than_the_header_says_is_truncated(tmp_path: Path) -> None:
    make_dicom(tmp_path / "a", Rows=49)

    assert refused((tmp_path / "a").read_bytes()) is Reason.TRUNCATED


@pytest.mark.parametrize("preamble", [True, False])
def test_an_image_without_preamble_is_still_an_image(preamble: bool, tmp_path: Path) -> None:
    for syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian):
        make_dicom(tmp_path / "a", transfer_syntax=syntax, preamble=preamble)

        assert read((tmp_path / "a").read_bytes()).file_meta.TransferSyntaxUID == syntax


@given(st.binary(max_size=2000), st.sampled_from([b"", b"\x08\x00", b"\x02\x00\x10\x00UI", b"\0" * 128 + b"DICM"]))
@settings(max_examples=300, deadline=None)
def test_bytes_that_are_no_image_are_refused_whatever_they_are(content: bytes, start: bytes) -> None:
    refused(start + content)


def test_files_that_are_dicom_but_no_image(tmp_path: Path) -> None:
    make_dicom(tmp_path / "report", PixelData=None, Rows=None, SOPClassUID=BasicTextSRStorage)
    make_dicom(tmp_path / "empty", Rows=0)

    assert refused((tmp_path / "report").read_bytes()) is Reason.NO_PIXEL_DATA
    assert refused((tmp_path / "empty").read_bytes()) is Reason.UNREADABLE
    assert refused(b"") is Reason.NOT_DICOM
    assert refused(os.urandom(5000)) is Reason.NOT_DICOM


def test_an_image_that_was_cut_between_two_elements_is_not_taken_for_a_report(tmp_path: Path) -> None:
    make_dicom(tmp_path / "a")
    content = (tmp_path / "a").read_bytes()

    for first_lost in (b"\xe0\x7f\x10\x00", b"\x28\x00\x10\x00US", b"\x10\x00\x20\x00LO"):  # pixels, Rows, PatientID
        assert refused(content[: content.index(first_lost)]) is Reason.TRUNCATED


def test_a_value_that_ends_after_its_file_takes_no_memory(tmp_path: Path) -> None:
    """pydicom would ask for all that it claims, and what becomes of that hangs on the machine."""
    make_dicom(tmp_path / "a", ImageComments="a comment")
    content = (tmp_path / "a").read_bytes()
    at = content.index(b"\x20\x00\x00\x40LT")
    (tmp_path / "a").write_bytes(content[: at + 4] + b"UT\0\0" + b"\xf0\xff\xff\x7f" + content[at + 8 :])
    tracemalloc.start()
    with (tmp_path / "a").open("rb") as file, pytest.raises(Refused) as caught:
        header.read(file, len(content) + 4)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert caught.value.reason is Reason.TRUNCATED
    assert peak < 2**24


def test_an_unknown_transfer_syntax_does_not_pass_and_is_not_told(tmp_path: Path) -> None:
    make_dicom(tmp_path / "a")
    content = (tmp_path / "a").read_bytes().replace(ExplicitVRLittleEndian.encode() + b"\0", b"1.2.840.10008.99.9.9")

    with pytest.raises(Refused) as caught:
        read(content)

    assert caught.value.reason is Reason.UNSUPPORTED
    assert "99.9" not in caught.value.detail


def test_a_frame_that_claims_more_than_it_may_is_refused_at_once(tmp_path: Path) -> None:
    make_dicom(tmp_path / "a", transfer_syntax=JPEGLSLossless)
    content = (tmp_path / "a").read_bytes()
    rows, columns = b"\x28\x00\x10\x00US\x02\x00", b"\x28\x00\x11\x00US\x02\x00"
    for tag in (rows, columns):
        at = content.index(tag) + 8
        content = content[:at] + b"\xff\xff" + content[at + 2 :]

    assert refused(content) is Reason.TOO_LARGE


def test_a_deflated_file_that_is_a_bomb_is_refused_without_memory(tmp_path: Path) -> None:
    dataset = make_dicom(tmp_path / "a")
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(tmp_path / "small")
    dataset.add_new(0x00090010, "LO", "BOMB")
    dataset.add_new(0x00091001, "OB", bytes(2**26))
    dataset.save_as(tmp_path / "bomb")
    small, bomb = ((tmp_path / name).read_bytes() for name in ("small", "bomb"))

    assert len(bomb) < 2**18
    assert header.read(BytesIO(small), len(small), 2**20).Rows == 48
    with pytest.raises(Refused) as caught:
        header.read(BytesIO(bomb), len(bomb), 2**25)
    assert caught.value.reason is Reason.TOO_LARGE
    assert caught.value.detail == "when inflated"


def test_a_dicomdir_says_what_it_is(tmp_path: Path) -> None:
    listed = {"StudyDate": "20200101", "StudyTime": "1200", "StudyID": "1", "SeriesNumber": 1, "InstanceNumber": 1}
    make_dicom(tmp_path / "IM1", **listed)
    directory = FileSet()
    directory.add(tmp_path / "IM1")
    directory.write(tmp_path / "media")
    content = (tmp_path / "media/DICOMDIR").read_bytes()

    with pytest.raises(Refused) as caught:
        read(content)
    assert caught.value.reason is Reason.NO_PIXEL_DATA
    assert "DICOMDIR" in caught.value.detail


@pytest.mark.parametrize("undefined", [True, False])
@pytest.mark.parametrize(("items", "least"), [(1000, header._BEGINNING), (6000, header._MORE)])
def test_a_header_longer_than_what_is_read_at_first(undefined: bool, items: int, least: int, tmp_path: Path) -> None:
    sequence = [Dataset() for _ in range(items)]
    for item in sequence:
        item.CodeMeaning, item.is_undefined_length_sequence_item = "x" * 30, undefined
    dataset = make_dicom(tmp_path / "a", ReferencedImageSequence=sequence)
    dataset["ReferencedImageSequence"].is_undefined_length = undefined
    dataset.save_as(tmp_path / "a", enforce_file_format=True)
    content = (tmp_path / "a").read_bytes()

    assert content.index(PIXEL_DATA) > least
    assert (read(content).Rows, read(content).Columns) == (48, 40)
    assert refused(content[:-60]) is Reason.TRUNCATED
    assert refused(content[:least]) in {Reason.TRUNCATED, Reason.UNREADABLE}


@pytest.mark.parametrize("end", [header._BEGINNING, header._MORE])
@pytest.mark.parametrize("beyond", range(-14, 4, 2))
def test_pixel_data_that_begins_about_where_a_first_read_ends(beyond: int, end: int, tmp_path: Path) -> None:
    dataset = make_dicom(tmp_path / "a")
    missing = end - (tmp_path / "a").read_bytes().index(PIXEL_DATA) + beyond
    dataset.add_new(0x00291010, "OB", bytes(missing - 12))
    dataset.save_as(tmp_path / "a", enforce_file_format=True)
    content = (tmp_path / "a").read_bytes()

    assert content.index(PIXEL_DATA) == end + beyond
    assert read(content).Rows == 48
    assert refused(content[:-60]) is Reason.TRUNCATED


def test_what_looks_like_pixel_data_in_another_element_is_none(tmp_path: Path) -> None:
    dataset = make_dicom(tmp_path / "a")
    dataset.add_new(0x00291010, "OB", PIXEL_DATA + bytes(header._MORE))
    dataset.save_as(tmp_path / "a", enforce_file_format=True)

    assert read((tmp_path / "a").read_bytes()).Rows == 48


def test_a_file_that_names_the_deflated_syntax_is_not_inflated(tmp_path: Path) -> None:
    make_dicom(tmp_path / "a", ImageComments=DeflatedExplicitVRLittleEndian)

    assert read((tmp_path / "a").read_bytes()).Rows == 48


@pytest.mark.parametrize("claimed", [2, 5, 2_000_000_000])
def test_frames_that_are_not_there_are_truncated(claimed: int, tmp_path: Path) -> None:
    make_dicom(tmp_path / "a", chest(1), transfer_syntax=RLELossless)
    dataset = dcmread(tmp_path / "a")
    dataset.NumberOfFrames = claimed
    dataset.save_as(tmp_path / "a")

    assert refused((tmp_path / "a").read_bytes()) is Reason.TRUNCATED


@pytest.mark.parametrize(
    "start", [b"PK\3\4", b"\x1f\x8b\x08", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07\x00", bytes(257) + b"ustar"]
)
def test_an_archive_that_is_not_opened_says_so(start: bytes) -> None:
    assert refused(start + bytes(500)) is Reason.ARCHIVE
