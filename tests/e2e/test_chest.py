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

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

STUDIES = 60  # of each batch


@pytest.fixture(scope="module")
def chest(shared_data: Path, new_clone: Callable[[str], Clone]) -> Clone:
    """A clone with some studies of two real batches, built; the deliveries lie beside it."""
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
    clone.run("dvc", "repro")
    clone.commit("two batches of real X-rays")
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
    accepted = sum(len(pd.read_parquet(chest.path / f"data/index/{batch}.parquet")) for batch in ("nih-a", "nih-b"))
    assert len(cohort) + len(excluded) == accepted
    assert set(cohort["batch"]) == {"nih-a", "nih-b"}
    assert cohort.groupby("patient")["subset"].nunique().max() == 1
    assert {"label:normal", "label:pneumonia"} <= set(cohort.columns)


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
