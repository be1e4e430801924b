"""A real model, from the registry to the bytes of its DICOM: verified, tampered with, one image followed, rebuilt."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest

from tests.e2e.conftest import Clone
from tests.tampering import flipped

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


def _verify(clone: Clone) -> dict:
    return json.loads(clone.run("radrepro", "verify", "radrepro", "--json", check=False).stdout)


def test_every_link_holds_from_the_registry_to_the_dicom(built: Clone) -> None:
    content = _verify(built)
    assert [link for link in content["links"] if link["state"] != "OK"] == []
    assert content["exit_status"] == 0
    names = {link["name"] for link in content["links"]}
    assert {"data/raw/site-a", "data/raw/site-b", "weights/starter.safetensors", "data/cohort.parquet"} <= names


@pytest.mark.parametrize(
    "path",
    ["data/raw/site-b", "data/images/site-a/pixels.npy", "weights/starter.safetensors", "stages/finetune/descent.py"],
)
def test_a_bit_flipped_in_a_real_file_is_named(built: Clone, path: str) -> None:
    whole = built.path / path
    if whole.is_dir():
        whole = max((one for one in whole.rglob("*") if one.is_file()), key=lambda one: one.stat().st_size)
    with flipped(whole, whole.stat().st_size // 2):
        broken = [link["name"] for link in _verify(built)["links"] if link["state"] == "BROKEN"]
    folders = {"data/images/site-a/pixels.npy": "data/images/site-a", "stages/finetune/descent.py": "stages/finetune"}
    assert broken == [folders.get(path, path)]


def _way(clone: Clone, *arguments: str) -> dict:
    said = json.loads(clone.run("radrepro", "audit", "--json", "--image", *arguments).stdout)
    return said | {"steps": {step["step"]: step for step in said["steps"]}}


def test_an_images_way_in_is_the_one_that_the_files_tell(built: Clone) -> None:
    cohort = pd.read_parquet(built.path / "data/cohort.parquet")
    row = cohort[cohort["subset"] == "test"].iloc[3]
    way = _way(built, row["image"], "--paths")
    steps = way["steps"]
    assert list(steps) == ["DICOM", "ingest", "preprocess", "split", "evaluate"]
    raw = (built.path / "data/raw" / row["batch"] / steps["DICOM"]["facts"]["path"]).read_bytes()
    assert steps["ingest"]["facts"]["sha256"] == steps["DICOM"]["facts"]["sha256"] == hashlib.sha256(raw).hexdigest()
    pixels = np.load(built.path / "data/images" / row["batch"] / "pixels.npy")[row["row"]]
    assert steps["preprocess"]["facts"]["pixel_sha256"] == hashlib.sha256(pixels.tobytes()).hexdigest()
    assert steps["split"]["facts"]["side"] == "test"
    assert sum(steps["evaluate"]["facts"].values()) == pytest.approx(1, abs=1e-4)
    assert all(step["says"].startswith("OK") for step in (steps["DICOM"], steps["preprocess"], steps["split"]))

    short = _way(built, row["image"][:12])
    assert "path" not in short["steps"]["DICOM"]["facts"], "a path can hold a name"
    assert short["key"] == row["image"]

    path = built.path / "data/raw" / row["batch"] / steps["DICOM"]["facts"]["path"]
    with flipped(path, len(raw) - 20):
        assert _way(built, row["image"])["steps"]["DICOM"]["says"].startswith("BROKEN")


def test_a_refused_files_way_ends_where_it_was_refused(built: Clone) -> None:
    refused = pd.read_csv(built.path / "data/quarantine/site-a.csv").iloc[0]
    steps = _way(built, f"site-a/{refused['file']}")["steps"]
    assert list(steps) == ["DICOM", "quarantine"]
    assert steps["quarantine"]["facts"]["reason"] == refused["reason"]
    done = built.run("radrepro", "audit", "--image", "no-such-key", check=False)
    assert done.returncode == 1
    assert "no image or file of radrepro/1 has the key 'no-such-key'" in done.stderr


@pytest.mark.long
def test_the_model_is_rebuilt_to_the_same_bytes(built: Clone) -> None:
    content = json.loads(built.run("radrepro", "rebuild", "--json").stdout)
    assert content["identical"]
    assert content["first_difference"] is None
    assert not built.run("git", "status", "--porcelain").stdout
