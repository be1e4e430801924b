"""docs/deidentification.md names every column that passes ingest, and says of DICOM what DICOM says."""

import re

import pytest
from pydicom.datadict import dictionary_description
from pydicom.sr._cid_dict import cid_concepts
from pydicom.sr._concepts_dict import concepts

from stages.artifacts import images, index, quarantine
from tests.conftest import ROOT

PAGE = (ROOT / "docs/deidentification.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]
COLUMNS = {row[0].strip("`"): row for row in ROWS if re.fullmatch(r"`[a-z_0-9]+`", row[0])}


@pytest.mark.parametrize("column", sorted({*index.SCHEMA.names, *images.SCHEMA.names}))
def test_every_column_is_documented(column: str) -> None:
    assert column in COLUMNS, "say in docs/deidentification.md what it tells of a patient, before it is kept"
    assert all(COLUMNS[column][:2])


@pytest.mark.parametrize("column", quarantine.COLUMNS)
def test_every_column_of_the_quarantine_is_documented(column: str) -> None:
    assert f"`{column}`" in PAGE


def test_a_tag_in_the_text_is_of_the_attribute_that_stands_before_it() -> None:
    text = " ".join(line for line in PAGE.splitlines() if not line.startswith("|"))
    tags = re.findall(r"(\S.*?) \(([0-9A-F]{4}),([0-9A-F]{4})\)", text)
    assert len(tags) > 10
    for before, group, element in tags:
        assert before.endswith(dictionary_description(int(group + element, 16))), f"({group},{element})"


@pytest.mark.parametrize("row", [row for row in COLUMNS.values() if len(row) == 6 and row[2]], ids=lambda row: row[0])
def test_a_tag_is_the_attributes_own(row: list[str]) -> None:
    tag = re.fullmatch(r"\((\w{4}),(\w{4})\)", row[2])
    assert tag
    assert dictionary_description(int(tag[1] + tag[2], 16)) == row[1]


def test_no_option_code_is_claimed_and_each_has_its_reason() -> None:
    of_dicom = {
        code: meaning
        for keyword in cid_concepts[7050]["DCM"]
        for code, (meaning, _) in concepts["DCM"][keyword].items()
    }
    told = {row[0]: row for row in ROWS if row[0].isdigit()}
    assert told.keys() == of_dicom.keys()
    for code, row in told.items():
        assert row[1] == of_dicom[code].removesuffix(" Option")
        assert row[2] == "no"
        assert row[3]
