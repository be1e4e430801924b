"""Both rooms on real X-rays, and on files that other projects keep because they are awkward."""

import csv
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from stages.artifacts import images, index, quarantine
from stages.ingest import __main__ as ingest
from stages.ingest import header, tree
from stages.preprocess import __main__ as preprocess
from stages.preprocess import codecs
from stages.reasons import Refused

PARAMETERS = """
ingest: {key_file: k.key, max_quarantined_fraction: 1, burned_in_absent: pass}
preprocess: {size: 64, max_quarantined_fraction: 1}
"""


@pytest.fixture
def project(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (workspace / "params.yaml").write_text(PARAMETERS)
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
    assert len(restricted) == len(tree.entries(shared_data / "dicom-corpus")) > 189  # with what is in archives
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
        if row["file"].endswith("JPEGExtended__RG2_JPLY.dcm"):  # which the manifest's decoders cannot read
            expected = next((other["min"], other["max"]) for other in listed if "RG2_JPLY_fixed" in other["file"])
        if row["transfer_syntax"].startswith("JPEG Extended") and values and expected:  # lossy: decoders round apart
            expected = values if np.allclose(np.int64(values), np.int64(expected), atol=1) else expected
        if row["kind"] != headless and values != expected:
            wrong.append((row["file"], values, expected))

    assert len(listed) > 180
    assert wrong == []


def extremes(path: Path) -> tuple[str, str] | None:
    """The lowest and the highest stored value of a file; None if it is refused."""
    try:
        with path.open("rb") as file:
            found = header.read(file, path.stat().st_size)
            file.seek(0)
            frames = int(found.get("NumberOfFrames") or 1)
            source = codecs.Source.of(file, str(found.file_meta.TransferSyntaxUID), frames)
            stored = [frame.values for frame in source.frames(range(frames))]
    except Refused:
        return None
    return str(min(int(frame.min()) for frame in stored)), str(max(int(frame.max()) for frame in stored))
