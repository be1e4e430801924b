from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread

from stages.artifacts import index
from stages.ingest import attributes, vocabulary
from stages.pseudonyms import PHANTOM_MANUFACTURER, Pseudonyms
from stages.reasons import Reason, Refused
from tests.dicom_files import make_dicom

KEY = Pseudonyms(b"k" * 32)


def keep(path: Path, **values):
    make_dicom(path, **values)
    return attributes.keep(dcmread(path), KEY)


@pytest.mark.parametrize(
    ("stated", "born", "studied", "years"),
    [
        ("045Y", "", "", 45),
        ("018M", "", "", 1.5),
        ("010D", "", "", 0.027),
        ("089Y", "", "", 89),
        ("090Y", "", "", 90),
        ("112Y", "", "", 90),
        ("150Y", "", "", None),
        ("", "19500615", "20200614", 69),
        ("", "19500615", "20200615", 70),
        ("", "19100101", "20200615", 90),
        ("", "20200616", "20200615", None),
        ("about 40", "19500615", "20200615", 70),
        ("", "1950", "20200615", None),
        ("", "", "20200615", None),
    ],
)
def test_age_in_years(stated: str, born: str, studied: str, years: float | None) -> None:
    assert attributes.age(stated, born, studied) == years


@given(st.text(), st.text(), st.text())
def test_any_text_gives_an_age_or_none(stated: str, born: str, studied: str) -> None:
    years = attributes.age(stated, born, studied)

    assert years is None or 0 <= years <= 90


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("GE MEDICAL SYSTEMS", "GE"),
        ('"GE Healthcare"', "GE"),
        ("SIEMENS", "Siemens"),
        ("Philips Medical Systems", "Philips"),
        ("FUJIFILM Corporation", "Fujifilm"),
        ("Dr. Jane Doe's scanner", "other"),
        ("", None),
    ],
)
def test_manufacturers_by_their_usual_names(written: str, kept: str | None) -> None:
    assert vocabulary.manufacturer(written) == kept


def test_words_of_the_tables_pass_and_others_do_not(tmp_path: Path) -> None:
    kept = keep(
        tmp_path / "a",
        Modality="DX ",
        BodyPartExamined="chest",
        ViewPosition="DOE JANE",
        ImageLaterality="DOE",
        PatientSex="DOE",
        Manufacturer=PHANTOM_MANUFACTURER,
        InstitutionName="St Elsewhere",
    )

    assert kept["modality"] == "DX"
    assert kept["body_part"] == "CHEST"
    assert kept["view"] == "OTHER"
    assert kept["laterality"] is None
    assert kept["sex"] is None
    assert kept["manufacturer"] == PHANTOM_MANUFACTURER
    assert kept["site"] == KEY.of("site", "St Elsewhere")


def test_columns_are_those_of_the_index_but_for_what_the_file_system_gives(tmp_path: Path) -> None:
    kept = keep(tmp_path / "a")

    assert set(kept) == set(index.SCHEMA.names) - {"file", "batch", "sha256", "size", "burned_in"}
    assert kept["sex"] is kept["age"] is kept["site"] is kept["day"] is None


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID"])
def test_an_image_without_identifiers_is_refused(keyword: str, tmp_path: Path) -> None:
    for value in ("", None):
        with pytest.raises(Refused) as caught:
            keep(tmp_path / "a", **{keyword: value})

        assert caught.value.reason is (Reason.MISSING_PATIENT_ID if keyword == "PatientID" else Reason.MISSING_UID)


def test_padding_is_no_part_of_an_identifier(tmp_path: Path) -> None:
    assert keep(tmp_path / "a", PatientID="007 ")["patient"] == keep(tmp_path / "b", PatientID="007")["patient"]


def test_days_of_one_patient_differ_as_the_dates_do_and_tell_none_of_them(tmp_path: Path) -> None:
    dates = {"20200228": 0, "20200301": 2, "20210228": 366}
    days = {date: keep(tmp_path / "a", StudyDate=date, PatientID="P")["day"] for date in dates}
    others = [keep(tmp_path / "a", StudyDate="20200228", PatientID=f"P{number}")["day"] for number in range(20)]

    assert {date: day - days["20200228"] for date, day in days.items()} == dates
    assert len(set(others)) > 15
    assert keep(tmp_path / "a", StudyDate="2020-02")["day"] is None
