"""Both rooms on real X-rays, and on files that other projects keep because they are awkward."""

import csv
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from stages.artifacts import images, index, quarantine
from stages.ingest import __main__ as ingest
from stages.ingest import header
from stages.preprocess import __main__ as preprocess
from stages.preprocess import codecs
from stages.reasons import Refused


@pytest.fixture
def project(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (workspace / "params.yaml").write_text("ingest: {key_file: k.key}\npreprocess: {size: 64}\n")
    (workspace / "k.key").write_bytes(b"s" * 64)
    monkeypatch.setenv("RADREPRO_WORKERS", "2")
    return workspace


def run(batch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["stage", batch])
    ingest.main()
    preprocess.main()


@pytest.mark.parametrize("batch", ["nih-a", "nih-b", "covid-2020"])
def test_chest_radiographs(batch: str, project: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    studies = sorted((shared_data / "chest" / batch).iterdir())[:12]
    for study in studies:
        shutil.copytree(study, project / "data/raw" / batch / study.name)
    files = sum(path.is_file() for path in (project / "data/raw").rglob("*"))

    run(batch, monkeypatch)

    rows, pixels = images.rows(batch), images.pixels(batch)
    assert len(index.read(batch)) == len(rows) == len(pixels) == files
    assert set(rows["modality"]) == {"CR" if batch == "nih-b" else "DX"}
    assert set(rows["window"]) == {"window" if batch == "nih-b" else "percentile"}
    assert ((rows["mean"] > 40) & (rows["mean"] < 215)).all()
    centre, corners = pixels[:, 28:36, 28:36].mean(), np.stack([pixels[:, :5, :5], pixels[:, :5, -5:]]).mean()
    assert centre > corners  # the mediastinum is bright and the air above the shoulders dark, MONOCHROME1 or not


@pytest.mark.slow
def test_awkward_files_reconcile(project: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = project / "data/raw"
    raw.mkdir(parents=True)
    (raw / "awkward").symlink_to(shared_data / "dicom-corpus")

    run("awkward", monkeypatch)

    restricted = index.read_restricted("awkward")
    refused = quarantine.read(index.quarantine_path("awkward"))
    accepted = index.read("awkward")
    undecoded = quarantine.read(images.directory("awkward") / "quarantine.csv")
    rows = images.rows("awkward")
    assert len(restricted) == sum(1 for _ in (shared_data / "dicom-corpus").iterdir())
    assert len(restricted) == len(accepted) + len(refused)
    assert len(accepted) == rows["instance"].nunique() + len(undecoded)
    assert len(images.pixels("awkward")) == len(rows)


def test_awkward_files_decode_to_the_values_that_the_manifest_lists(shared_data: Path) -> None:
    corpus = shared_data / "dicom-corpus"
    with (corpus / "manifest.csv").open(encoding="utf-8") as manifest:
        listed = list(csv.DictReader(manifest))
    headless = "image(force)"  # pydicom alone gives up on a file without transfer syntax; its first elements tell it
    wrong = []
    for row in listed:
        values = extremes(corpus / row["file"])
        expected = (row["min"], row["max"]) if row["decodes"] == "1" else None
        if row["samples"] == "3" and values:  # the manifest has these as YBR
            expected = expected and values
        if row["kind"] != headless and values != expected:
            wrong.append((row["file"], values, expected))

    assert len(listed) > 180
    assert wrong == []


def extremes(path: Path) -> tuple[str, str] | None:
    """The lowest and the highest stored value of a file; None if it is refused."""
    try:
        with path.open("rb") as file:
            syntax = str(header.read(file, path.stat().st_size).file_meta.TransferSyntaxUID)
        dataset = dcmread(path, force=True)
        frames = int(dataset.get("NumberOfFrames") or 1)
        stored = [codecs.decode(dataset, syntax, index, frames).stored for index in range(frames)]
    except Refused:
        return None
    return str(min(int(frame.min()) for frame in stored)), str(max(int(frame.max()) for frame in stored))
