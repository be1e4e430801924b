"""From keys back to files: what ingest wrote of real DICOM, found again by the command."""

import csv
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from pydicom import dcmread

from pipeline import find
from stages.artifacts import index
from stages.ingest import accounting, tree
from stages.ingest.params import IngestParams
from stages.ingest.scan import Scanner
from stages.pseudonyms import Pseudonyms
from stages.runtime import UserError
from tests.dicom_files import make_dicom

KEY = Pseudonyms(b"0123456789abcdef0123456789abcdef")
SECTION = IngestParams(key_file="k", burned_in_absent="pass", max_quarantined_fraction=1)


@pytest.fixture
def ingested(workspace: Path) -> pd.DataFrame:
    """Two batches: 4 patients with 2 studies each, one file twice, one that is no image; the index of both."""
    (workspace / "dvc.yaml").touch()
    (workspace / "params.yaml").write_text("batches: [north, south]\n")
    for batch, patients in (("north", (0, 1)), ("south", (2, 3))):
        root = workspace / "data/raw" / batch
        for patient in patients:
            for study in range(2):
                make_dicom(
                    root / f"Doe^Jane {patient}" / f"{study}, a" / "IM1",
                    PatientID=f"P{patient}",
                    StudyInstanceUID=f"1.2.{patient}.{study}",
                    SOPInstanceUID=f"1.3.{patient}.{study}",
                )
        shutil.copy(root / f"Doe^Jane {patients[0]}" / "0, a" / "IM1", root / "~copy")
        (root / f"note {batch}.txt").write_text("no image")
        done = accounting.reconcile(map(Scanner(root.absolute(), KEY, SECTION), tree.entries(root)), batch)
        index.write(batch, done.accepted)
        index.write_restricted(batch, done.restricted)
    return pd.concat([index.read(batch) for batch in ("north", "south")], ignore_index=True)


def test_an_images_key_leads_to_the_file_that_holds_it(ingested: pd.DataFrame) -> None:
    for row in ingested.itertuples():
        found = find.files([row.instance], ["north", "south"])
        assert set(found["kind"]) == {"instance"}
        for path in found["path"]:
            header = dcmread(path)
            assert KEY.of("instance", header.SOPInstanceUID) == row.instance
            assert KEY.of("patient", header.PatientID) == row.patient
        twice = KEY.of("instance", "1.3.0.0"), KEY.of("instance", "1.3.2.0")
        assert sorted(found["status"]) == ["accepted", "duplicate"][: 1 + (row.instance in twice)]


def test_a_patients_key_leads_to_all_files_of_the_person_and_a_studys_to_its_own(ingested: pd.DataFrame) -> None:
    found = find.files([KEY.of("patient", "P3"), KEY.of("study", "1.2.1.0")], ["north", "south"])
    paths = {(row.kind, row.path) for row in found.itertuples()}
    assert paths == {
        ("patient", "data/raw/south/Doe^Jane 3/0, a/IM1"),
        ("patient", "data/raw/south/Doe^Jane 3/1, a/IM1"),
        ("study", "data/raw/north/Doe^Jane 1/0, a/IM1"),
    }


def test_a_file_that_was_refused_is_found_by_the_key_that_the_quarantine_shows(ingested: pd.DataFrame) -> None:
    refused = index.read_restricted("south").set_index("path").loc["note south.txt", "file"]
    (row,) = find.files([refused], ["north", "south"]).to_dict("records")
    assert (row["path"], row["status"], row["kind"]) == ("data/raw/south/note south.txt", "quarantined", "file")


def test_a_key_cut_short_and_one_with_a_frame_lead_as_far(ingested: pd.DataFrame) -> None:
    instance = KEY.of("instance", "1.3.1.1")
    (row,) = find.files([f"{instance[:12]}-3"], ["north", "south"]).to_dict("records")
    assert (row["frame"], row["path"]) == ("3", "data/raw/north/Doe^Jane 1/1, a/IM1")
    assert find.files([instance[:8].upper()], ["north", "south"])["path"].tolist() == [row["path"]]
    patient = KEY.of("patient", "P1")
    assert find.files([f"{patient}-0"], ["north", "south"]).empty, "a patient has no frames"


@pytest.mark.parametrize("key", ["Doe^Jane", "1234567", "", "g" * 32, "a" * 33, "a" * 32 + "-"])
def test_what_is_no_key_is_told(ingested: pd.DataFrame, key: str) -> None:
    with pytest.raises(UserError, match="is no key: give 8 to 32 hexadecimal digits"):
        find.files([key], ["north"])


def test_without_the_restricted_table_it_says_who_has_it(ingested: pd.DataFrame) -> None:
    index.restricted_path("south").unlink()
    with pytest.raises(UserError, match=r"data/restricted/south\.csv is not here.*ask the data's owner"):
        find.files(["a" * 32], ["north", "south"])


def test_the_command_prints_a_table_and_names_the_keys_it_does_not_find(ingested: pd.DataFrame) -> None:
    known, unknown = KEY.of("instance", "1.3.3.1"), "0" * 32
    done = subprocess.run(["radrepro", "find", known, unknown], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (row,) = csv.DictReader(done.stdout.splitlines())
    assert row["path"] == "data/raw/south/Doe^Jane 3/1, a/IM1"
    assert done.stderr.splitlines() == [
        f"radrepro: error: no file of these batches has the key {unknown}: is it of this project?"
    ]
    assert subprocess.run(["radrepro", "find", known], capture_output=True, check=False).returncode == 0
