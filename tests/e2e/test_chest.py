"""Real X-rays, brought as a user brings them: two batches by ``radrepro add-batch``, then ``dvc repro``."""

import csv
import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pydicom
import pytest

from tests.e2e.conftest import Clone

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

STUDIES = 60  # of each batch


@pytest.fixture(scope="module")
def chest(shared_data: Path, new_clone: Callable[[str], Clone]) -> Clone:
    """A clone with some studies of two real batches and all awkward files, built; the deliveries lie beside it."""
    source, clone = shared_data / "chest", new_clone("chest")
    outside = clone.path.parent
    with (source / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    kept = []
    for batch in ("nih-a", "nih-b"):
        for folder in sorted(path for path in (source / batch).iterdir() if path.is_dir())[:STUDIES]:
            shutil.copytree(folder, outside / batch / folder.name)
        copied = _studies(outside / batch)
        kept += [row for row in rows if row["batch"] == batch and row["StudyInstanceUID"] in copied]
    with (outside / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(kept)
    for batch in ("nih-a", "nih-b"):
        said = clone.run("radrepro", "add-batch", batch, str(outside / batch), "--labels", str(outside / "labels.csv"))
        assert "images of" in said.stdout
        assert "are labelled" in said.stdout
    awkward = clone.path / "data/raw/corpus"
    shutil.copytree(shared_data / "dicom-corpus", awkward, ignore=shutil.ignore_patterns("manifest.csv"))
    clone.edit(
        {
            "batches": ["nih-a", "nih-b", "corpus"],
            "ingest": {"burned_in_absent": "pass", "max_quarantined_fraction": 1},
            "preprocess": {"max_quarantined_fraction": 1},
            "split": {"unlabelled": "ignore"},
        }
    )
    clone.run("dvc", "repro")
    clone.commit("two batches of real X-rays, and one of awkward files")
    return clone


def _studies(folder: Path) -> set[str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["StudyInstanceUID"]).StudyInstanceUID
        for path in files
    }


def test_every_labelled_image_is_in_the_cohort_or_accounted_for(chest: Clone) -> None:
    cohort = pd.read_parquet(chest.path / "data/cohort.parquet")
    excluded = pd.read_csv(chest.path / "data/excluded.csv")
    batches = ("nih-a", "nih-b", "corpus")
    images = [pd.read_parquet(chest.path / f"data/images/{batch}/rows.parquet") for batch in batches]
    assert len(cohort) + len(excluded) == sum(map(len, images))
    assert set(excluded["batch"]) == {"corpus"}
    assert set(cohort["batch"]) == {"nih-a", "nih-b"}
    assert cohort.groupby("patient")["subset"].nunique().max() == 1
    assert {"label:normal", "label:pneumonia"} <= set(cohort.columns)


def test_every_awkward_file_has_the_outcome_that_is_right_for_it(chest: Clone, shared_data: Path) -> None:
    """corpus.csv was read through by a person, file by file; the manifest is what other decoders made of them."""
    where = pd.read_csv(chest.path / "data/restricted/corpus.csv", dtype=str, keep_default_na=False)
    undecoded = pd.read_csv(chest.path / "data/images/corpus/quarantine.csv", dtype=str).set_index("file")["reason"]
    reasons = where["reason"].where(where["reason"] != "", where["file"].map(undecoded).fillna("USED"))
    found = dict(zip(where["path"], reasons, strict=True))
    with Path(__file__).with_name("corpus.csv").open(encoding="utf-8") as file:
        expected = {row["path"]: row["outcome"] for row in csv.DictReader(file)}
    with (shared_data / "dicom-corpus/manifest.csv").open(encoding="utf-8") as file:
        decodes = {row["file"]: row["decodes"] == "1" for row in csv.DictReader(file)}

    assert found == expected
    not_decoded = {"DECODE_FAILED", "UNSUPPORTED", "TRUNCATED", "NOT_DICOM", "NO_PIXEL_DATA", "UNREADABLE"}
    assert not {path for path, reason in found.items() if decodes.get(path) and reason in not_decoded}
    better = {path for path, reason in found.items() if path in decodes and not decodes[path] and reason == "USED"}
    assert better == {"pylibjpeg-data__ljdata__ds__JPEGExtended__RG2_JPLY.dcm"}
    intake = json.loads(chest.read("reports/intake.json"))["batches"]["corpus"]
    assert intake["files"] == len(found)
    assert intake["quarantined"] + intake["duplicates"] + intake["used"] == intake["files"]


def test_every_recipe_is_judged_on_patients_held_out(chest: Clone) -> None:
    test = pd.read_parquet(chest.path / "data/cohort.parquet").query("subset == 'test'")
    for recipe in ("linear_probe", "fine_tune", "scratch"):
        found = json.loads(chest.read(f"reports/recipes/{recipe}/evaluation.json"))["test"]
        assert found["images"] == len(test)
        assert found["patients"] == test["patient"].nunique()
        assert 0 <= found["auroc"]["low"] <= found["auroc"]["value"] <= found["auroc"]["high"] <= 1


def test_the_registered_model_leads_back_to_the_delivered_bytes(chest: Clone) -> None:
    with sqlite3.connect(chest.path / "mlflow.db") as database:
        tags = dict(database.execute("select key, value from model_version_tags"))
    for batch in ("nih-a", "nih-b"):
        pointer = chest.read(f"data/raw/{batch}.dvc")
        assert tags[f"dvc.out.data/raw/{batch}"] in pointer
        assert tags[f"dvc.dep.data/raw/{batch}"] in pointer


def test_no_identifier_leaves_ingest(chest: Clone) -> None:
    """Neither what git holds, nor what MLflow holds, nor what later stages read names a patient."""
    with (chest.path.parent / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = {row[column].encode() for row in rows for column in ("PatientID", "StudyInstanceUID", "SOPInstanceUID")}
    tracked = chest.run("git", "ls-files", "-z").stdout.split("\0")
    read_later = [*tracked, "mlflow.db", "data/cohort.parquet", "data/index/nih-a.parquet", "data/quarantine/nih-a.csv"]
    artifacts = [
        str(path.relative_to(chest.path)) for path in (chest.path / "mlartifacts").rglob("*") if path.is_file()
    ]
    for name in filter(None, [*read_later, *artifacts]):
        content = (chest.path / name).read_bytes()
        assert not any(identifier in content for identifier in names if len(identifier) > 5), name


def test_a_second_repro_does_nothing(chest: Clone) -> None:
    assert "Running stage" not in chest.run("dvc", "repro").stdout


def test_the_public_key_is_refused_for_them(chest: Clone) -> None:
    before = chest.read("params.yaml")
    try:
        chest.edit({"ingest": {"key_file": "stages/phantom/demo.key"}})
        done = chest.run("dvc", "repro", check=False)
        assert done.returncode != 0
        assert "public one" in done.stderr + done.stdout
    finally:
        (chest.path / "params.yaml").write_text(before)
        chest.run("dvc", "repro")
