"""The phantom as two hospitals' exports, made once by the real stage."""

import os
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from pydicom.dataset import FileDataset
from pydicom.uid import (
    BasicTextSRStorage,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from stages.ingest import accounting, tree
from stages.ingest.params import IngestParams
from stages.ingest.scan import Scanner
from stages.phantom.cohort import FINDINGS, plan
from stages.pseudonyms import PHANTOM_MANUFACTURER, Pseudonyms
from tests.conftest import ROOT

EXTRA = {"README.TXT", "VIEWER", "COPY", "SR", "BROKEN", "NOID"}
"""What each export holds beside the images, by its first folder."""


def draw(folder: Path, patients: int, seed: int = 1, workers: int = 2) -> dict[str, bytes]:
    """Every file that the stage writes into an empty folder."""
    folder.mkdir()
    (folder / "params.yaml").write_text(f"phantom: {{seed: {seed}, patients: {patients}}}\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RADREPRO_WORKERS": str(workers)}
    command = [sys.executable, "-m", "stages.phantom"]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    data = folder / "data"
    return {path.relative_to(data).as_posix(): path.read_bytes() for path in data.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("phantom")


@pytest.fixture(scope="module")
def drawn(folder: Path) -> dict[str, bytes]:
    """Twelve patients, six of each site."""
    return draw(folder / "first", 12)


def site(name: str) -> str:
    return name.split("/")[1]


def images(files: dict[str, bytes]) -> dict[str, bytes]:
    """The files that are to be used, of both sites."""
    return {
        name: content for name, content in files.items() if name.startswith("raw/") and name.split("/")[2] not in EXTRA
    }


@pytest.fixture(scope="module")
def parsed(drawn: dict[str, bytes], folder: Path) -> dict[str, FileDataset]:
    """With ``force``, for one has no preamble."""
    return {name: pydicom.dcmread(folder / "first/data" / name, force=True) for name in images(drawn)}


@pytest.fixture(scope="module")
def labels(drawn: dict[str, bytes], folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "first/data/phantom.csv", dtype=str, keep_default_na=False)


def test_the_same_seed_gives_the_same_bytes_whatever_the_number_of_workers(
    drawn: dict[str, bytes], folder: Path
) -> None:
    assert draw(folder / "again", 12, workers=1) == drawn


def test_more_patients_change_nothing_about_the_earlier_ones(drawn: dict[str, bytes], folder: Path) -> None:
    more = draw(folder / "more", 15)
    changed = [name for name, content in drawn.items() if not more[name].startswith(content)]
    assert changed == [], "labels are appended, other files stay"
    assert {name: more[name] for name in images(drawn)} == images(drawn)
    assert len(images(more)) > len(images(drawn))


def test_another_seed_gives_other_people(drawn: dict[str, bytes], folder: Path) -> None:
    other = images(draw(folder / "other", 10, seed=2))
    assert not set(other.values()) & set(images(drawn).values())
    assert not {study.patient.identifier for study in plan(1, 50)} & {study.patient.identifier for study in plan(2, 50)}


def test_every_image_says_what_it_is_and_whose(parsed: dict[str, FileDataset]) -> None:
    kinds = {"site-a": DigitalXRayImageStorageForPresentation, "site-b": ComputedRadiographyImageStorage}
    for name, dataset in parsed.items():
        assert dataset.SOPClassUID == kinds[site(name)]
        assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
        assert dataset.Modality == {"site-a": "DX", "site-b": "CR"}[site(name)]
        assert dataset.Manufacturer == PHANTOM_MANUFACTURER, "else the demonstration's key would not be accepted"
        assert dataset.PatientID
        assert str(dataset.PatientName).count("^") == 1
        assert dataset.PatientSex in {"F", "M"}
        born, taken = (date.fromisoformat(value) for value in (dataset.PatientBirthDate, dataset.StudyDate))
        years = taken.year - born.year - ((taken.month, taken.day) < (born.month, born.day))
        assert dataset.PatientAge == f"{years:03d}Y"
        assert 18 <= years <= 120
    assert {site(name) for name in parsed} == {"site-a", "site-b"}
    assert len({str(dataset.InstitutionName) for dataset in parsed.values()}) == 2


def test_uids_are_valid_and_no_two_images_share_one(parsed: dict[str, FileDataset]) -> None:
    for kind in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        uids = [dataset[kind].value for dataset in parsed.values()]
        assert len(set(uids)) == len(uids), "each study is one image"
        assert all(uid.is_valid for uid in uids)


def test_a_patient_is_the_same_person_in_every_study(parsed: dict[str, FileDataset]) -> None:
    known: dict[str, set[tuple[str, ...]]] = {}
    for dataset in parsed.values():
        person = (str(dataset.PatientName), dataset.PatientSex, dataset.PatientBirthDate, dataset.InstitutionName)
        known.setdefault(dataset.PatientID, set()).add(person)
    assert len(known) == 12
    assert all(len(persons) == 1 for persons in known.values())
    assert len(parsed) > 12, "some come again"


def test_every_image_decodes_to_what_its_header_says(parsed: dict[str, FileDataset]) -> None:
    for name, dataset in parsed.items():
        pixels = dataset.pixel_array
        assert pixels.shape == (dataset.Rows, dataset.Columns)
        assert dataset.SamplesPerPixel == 1
        assert pixels.dtype.itemsize * 8 == dataset.BitsAllocated
        assert dataset.HighBit == dataset.BitsStored - 1
        assert dataset.BitsStored == {"site-a": 12, "site-b": 8}[site(name)]
        assert pixels.max() < 2**dataset.BitsStored
        assert np.ptp(pixels) > 0.8 * 2**dataset.BitsStored, "and uses its range"


def test_exports_hold_the_encodings_that_a_reader_must_know(
    parsed: dict[str, FileDataset], drawn: dict[str, bytes]
) -> None:
    syntaxes: dict[str, set[str]] = {"site-a": set(), "site-b": set()}
    for name, dataset in parsed.items():
        syntaxes[site(name)].add(dataset.file_meta.TransferSyntaxUID)
    assert syntaxes == {"site-a": {JPEG2000Lossless, RLELossless}, "site-b": {JPEGLSLossless}}
    photometric = {(site(name), dataset.PhotometricInterpretation) for name, dataset in parsed.items()}
    assert photometric == {("site-a", "MONOCHROME1"), ("site-a", "MONOCHROME2"), ("site-b", "MONOCHROME2")}
    bare = [name for name, content in images(drawn).items() if content[128:132] != b"DICM"]
    assert len(bare) == 1
    assert site(bare[0]) == "site-b"


def test_an_inverted_image_shows_the_same_chest(parsed: dict[str, FileDataset]) -> None:
    """Lungs are darker than what lies between them, once MONOCHROME1 is turned over."""
    for dataset in parsed.values():
        pixels = dataset.pixel_array / (2**dataset.BitsStored - 1)
        if dataset.PhotometricInterpretation == "MONOCHROME1":
            pixels = 1 - pixels
        rows, columns = pixels.shape
        band = pixels[int(0.35 * rows) : int(0.45 * rows)]
        middle, sides = (
            band[:, int(0.48 * columns) : int(0.56 * columns)],
            band[:, int(0.2 * columns) : int(0.35 * columns)],
        )
        assert middle.mean() > sides.mean()


def test_every_image_has_a_window_within_its_range(parsed: dict[str, FileDataset]) -> None:
    for dataset in parsed.values():
        low, high = (float(dataset.WindowCenter) + sign * float(dataset.WindowWidth) / 2 for sign in (-1, 1))
        shown = (dataset.pixel_array > low) & (dataset.pixel_array < high)
        assert shown.mean() > 0.5
        assert 1 <= float(dataset.WindowWidth) <= 2**dataset.BitsStored


def test_ingest_finds_in_each_export_what_exports_hold_beside_images(folder: Path, drawn: dict[str, bytes]) -> None:
    for where in ("site-a", "site-b"):
        root = folder / "first/data/raw" / where
        done = accounting.reconcile(
            map(Scanner(root, Pseudonyms(b"k" * 32), IngestParams(key_file=Path("k.key"))), tree.entries(root)), where
        )
        reasons = dict(zip(done.restricted["path"], done.restricted["reason"], strict=True))
        copies = [path for path, reason in reasons.items() if reason == "DUPLICATE"]
        assert {path: reason for path, reason in reasons.items() if reason and reason != "DUPLICATE"} == {
            "README.TXT": "NOT_DICOM",
            "VIEWER/THUMB.JPG": "NOT_DICOM",
            "SR/IM000001": "NO_PIXEL_DATA",
            "BROKEN/IM000001": "TRUNCATED",
            "NOID/IM000001": "MISSING_PATIENT_ID",
        }
        assert len(copies) == 1
        assert (root / copies[0]).read_bytes() == (root / "COPY/IM000001").read_bytes()
        assert len(done.accepted) == len([name for name in images(drawn) if site(name) == where])


@pytest.mark.parametrize("where", ["site-a", "site-b"])
def test_only_one_thing_is_wrong_with_each_bad_file(where: str, folder: Path, parsed: dict[str, FileDataset]) -> None:
    root = folder / "first/data/raw" / where
    report, nobody = pydicom.dcmread(root / "SR/IM000001"), pydicom.dcmread(root / "NOID/IM000001")
    assert report.SOPClassUID == BasicTextSRStorage
    assert report.PatientID in {dataset.PatientID for dataset in parsed.values()}
    assert not {report.SOPInstanceUID, nobody.SOPInstanceUID} & {d.SOPInstanceUID for d in parsed.values()}
    assert nobody.PatientID == ""
    assert nobody.pixel_array.shape == (nobody.Rows, nobody.Columns)
    cut, whole = (root / "BROKEN/IM000001").read_bytes(), (root / "NOID/IM000001").read_bytes()
    assert 0.5 * len(whole) < len(cut) < 0.7 * len(whole), "it ends within its pixels"


def test_the_labels_name_every_image_and_nothing_else(parsed: dict[str, FileDataset], labels: pd.DataFrame) -> None:
    assert list(labels.columns) == ["PatientID", "StudyInstanceUID", "SOPInstanceUID", "label"]
    keys = ["PatientID", "StudyInstanceUID", "SOPInstanceUID"]
    assert set(labels[keys].itertuples(index=False, name=None)) == {
        tuple(str(dataset[key].value) for key in keys) for dataset in parsed.values()
    }
    assert len(labels) == len(parsed)
    assert set(labels["label"]) == set(FINDINGS)


def test_both_sites_see_the_same_mix() -> None:
    """Else a model could learn the scanner and be right."""
    studies = pd.DataFrame([(s.patient.site, s.finding, s.age) for s in plan(1, 2000)], columns=["site", "is", "age"])
    mix = pd.crosstab(studies["site"], studies["is"], normalize="index")
    assert set(mix.columns) == set(FINDINGS)
    assert (mix.loc["site-a"] - mix.loc["site-b"]).abs().max() < 0.05
    assert mix.to_numpy().min() > 0.15
    assert studies.groupby("site")["age"].mean().diff().abs().iloc[-1] < 2


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy is not installed (Debian: dicom3tools)")
@pytest.mark.parametrize("kind", ["DX", "CR", "SR"])
def test_dciodvfy_finds_no_error(kind: str, folder: Path, parsed: dict[str, FileDataset]) -> None:
    """The validator of dicom3tools, which knows what every kind of object must hold."""
    names = ["raw/site-a/SR/IM000001", *(name for name, dataset in parsed.items() if dataset.Modality == kind)]
    path = folder / "first/data" / names[0 if kind == "SR" else 1]
    done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).splitlines()
    assert any(line in {"DXImageForPresentation", "CRImage", "BasicTextSR"} for line in said), "it knows the kind"
    assert [line for line in said if line.startswith("Error")] == []
