"""What ingest looks at in a header: the same as pydicom makes of it, and nothing else."""

import pickle
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.pixels.utils import get_expected_length
from pydicom.tag import BaseTag
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from stages.ingest import attributes, burned_in, elements, header, pixel_data
from stages.ingest.params import IngestParams
from stages.pseudonyms import Pseudonyms
from tests.dicom_files import make_dicom

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of values that are not as they should be

KEY = Pseudonyms(b"k" * 32)
SECTION = IngestParams(key_file=Path("k.key"), burned_in_absent="pass")
WORDS = ["SOPInstanceUID", "StudyDate", "Modality", "InstitutionName", "PatientID", "PatientAge"]
HOSTILE = st.lists(st.sampled_from(b"aZ09 .^=~\\\0\x1b$)B\xe9\xc3\xa9\r\n\t"), max_size=12).map(bytes)


def of_raw(keyword: str, vr: str | None, value: bytes, *, little: bool = True) -> Dataset:
    """A header with one element, as it stands in a file; without VR it is implicit."""
    tag = BaseTag(tag_for_keyword(keyword))
    return Dataset({tag: RawDataElement(tag, vr, len(value), value, 0, vr is None, little)})


@given(
    keyword=st.sampled_from(WORDS),
    vr=st.sampled_from([None, "UI", "CS", "LO", "SH", "DA", "AS", "PN", "UT", "IS", "DS", "UN", "OB", "US"]),
    value=HOSTILE,
)
@example(keyword="PatientID", vr="LO", value=b" 007 \0")
@example(keyword="PatientID", vr="LO", value=b"A \\B ")
@example(keyword="PatientID", vr=None, value=b"")
@settings(max_examples=600, deadline=None)
def test_text_is_as_pydicom_has_it(keyword: str, vr: str | None, value: bytes) -> None:
    def theirs(made: Dataset) -> str:
        found = made.get(keyword)
        if found is None:
            return ""
        return ("\\".join(map(str, found)) if isinstance(found, MultiValue) else str(found)).strip(" \0")

    assert outcome(elements.text, of_raw(keyword, vr, value), keyword) == outcome(theirs, of_raw(keyword, vr, value))


@given(
    keyword=st.sampled_from(["Rows", "NumberOfFrames"]),
    vr=st.sampled_from([None, "US", "IS", "SS", "UL", "LO", "UN"]),
    value=st.binary(max_size=4) | st.lists(st.sampled_from(b"0123456789 .-\0\\"), max_size=6).map(bytes),
    little=st.booleans(),
)
@example(keyword="NumberOfFrames", vr="IS", value=b"12 ", little=True)
@example(keyword="Rows", vr="US", value=b"\1\2", little=False)
@settings(max_examples=600, deadline=None)
def test_numbers_are_as_pydicom_has_them(keyword: str, vr: str | None, value: bytes, little: bool) -> None:
    ours, theirs = (of_raw(keyword, vr, value, little=little) for _ in range(2))

    assert outcome(elements.number, ours, keyword) == outcome(Dataset.get, theirs, keyword)


def outcome(function, *given_):
    """The result, or the kind of what is raised."""
    try:
        return function(*given_)
    except Exception as error:  # noqa: BLE001 - of any kind: it must be the same one
        return type(error)


def test_what_is_absent_is_no_text_and_no_number() -> None:
    assert elements.text(Dataset(), "PatientID") == ""
    assert elements.number(Dataset(), "Rows") is None


def test_a_keyword_that_is_not_read_cannot_be_asked_for() -> None:
    with pytest.raises(KeyError):
        elements.text(Dataset(), "PatientName")


def test_all_that_is_asked_of_a_header_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_dicom(tmp_path / "a", Modality="US", SequenceOfUltrasoundRegions=[Dataset()])
    asked: set[str] = set()

    def watch(name: str) -> None:
        original = getattr(Dataset, name)

        def watched(self, word, *more):
            if isinstance(word, str) and tag_for_keyword(word):
                asked.add(word)
            return original(self, word, *more)

        monkeypatch.setattr(Dataset, name, watched)

    for name in ("get", "__getattr__", "__contains__"):
        watch(name)
    content = tmp_path / "a"

    with content.open("rb") as file:
        found = header.read(file, content.stat().st_size)
    attributes.keep(found, KEY)
    burned_in.stated(found, SECTION)

    elsewhere = {word for word in asked if tag_for_keyword(word) >> 16 == 2 or word.startswith("RegionLocation")}
    assert {"SequenceOfUltrasoundRegions", "Rows", "PhotometricInterpretation"} <= asked
    assert asked - elsewhere <= set(elements.KEYWORDS)


def test_nothing_else_of_a_header_is_in_memory(tmp_path: Path) -> None:
    make_dicom(tmp_path / "a", PatientName="Doe^Jane", PatientComments="Jane", OtherPatientIDs="1", StudyID="2")

    with (tmp_path / "a").open("rb") as file:
        found = header.read(file, (tmp_path / "a").stat().st_size)

    assert {element.tag for element in found} <= set(elements.TAGS)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_the_index_is_the_same_as_of_the_whole_header(syntax: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    words = {"BodyPartExamined": "CHEST", "ViewPosition": "PA", "ImageLaterality": "L", "PatientSex": "F"}
    dates = {"PatientBirthDate": "19500615", "StudyDate": "20200614", "NumberOfFrames": 1}
    make_dicom(path, transfer_syntax=syntax, Manufacturer="GE", InstitutionName="St Elsewhere", **words, **dates)

    with path.open("rb") as file:
        kept = attributes.keep(header.read(file, path.stat().st_size), KEY)

    assert kept == attributes.keep(dcmread(path), KEY)
    assert kept["age"] == 69
    assert (kept["rows"], kept["columns"]) == (48, 40)


def test_an_identifier_is_the_same_in_every_character_set(tmp_path: Path) -> None:
    keys = set()
    for number, charset in enumerate(["ISO_IR 100", "ISO_IR 192", "GB18030"]):
        path = tmp_path / str(number)
        make_dicom(path, SpecificCharacterSet=charset, PatientID="Zoé")
        with path.open("rb") as file:
            keys.add(attributes.keep(header.read(file, path.stat().st_size), KEY)["patient"])

    assert keys == {KEY.of("patient", "Zoé")}


@given(
    size=st.tuples(*[st.integers(1, 65535)] * 2),
    samples=st.sampled_from([1, 3]),
    frames=st.sampled_from([None, 1, 7]),
    bits=st.sampled_from([1, 8, 12, 16, 32]),
    photometric=st.sampled_from(["MONOCHROME2", "RGB", "YBR_FULL_422"]),
)
def test_the_length_of_pixels_is_as_pydicom_has_it(
    size: tuple[int, int], samples: int, frames: int | None, bits: int, photometric: str
) -> None:
    made = Dataset()
    made.Rows, made.Columns = size
    made.SamplesPerPixel, made.BitsAllocated, made.PhotometricInterpretation = samples, bits, photometric
    if frames:
        made.NumberOfFrames = frames

    assert pixel_data.claimed(made) == get_expected_length(made)


def test_a_key_goes_to_another_process() -> None:
    assert KEY.of("patient", "7") == pickle.loads(pickle.dumps(KEY)).of("patient", "7")
