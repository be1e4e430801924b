"""Every file has one outcome, the numbers add up, and a file that is lost stops the pipeline."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages.account import __main__ as account
from stages.account import counting
from stages.artifacts import index, intake
from stages.ingest import __main__ as ingest
from stages.preprocess import __main__ as preprocess
from stages.runtime import UserError
from tests.conftest import ROOT
from tests.dicom_files import chest, make_dicom


def _table(files: str, **columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"file": list(files), **columns}, dtype=str)


ACCEPTED = _table("abc")
REFUSED = _table("def", reason=["DUPLICATE", "NOT_DICOM", "NOT_DICOM"])
ROWS = _table("aab")  # two frames of the first
UNDECODED = _table("c", reason=["TRUNCATED"])


def test_files_and_images_are_counted_apart() -> None:
    assert counting.count(ACCEPTED, REFUSED, ROWS, UNDECODED) == {
        "files": 6,
        "accepted": 3,
        "used": 2,
        "images": 3,
        "duplicates": 1,
        "quarantined": 3,
        "reasons": {"DUPLICATE": 1, "NOT_DICOM": 2, "TRUNCATED": 1},
    }


def test_a_file_that_conflicts_with_an_accepted_one_is_a_duplicate() -> None:
    refused = _table("def", reason=["CONFLICTING_DUPLICATE", "DUPLICATE", "TRUNCATED"])
    counts = counting.count(ACCEPTED, refused, ROWS, UNDECODED)
    assert (counts["duplicates"], counts["quarantined"]) == (2, 2)


@pytest.mark.parametrize(
    ("wrong", "blamed"),
    [
        ({"accepted": _table("abca")}, "ingest"),  # accepted twice
        ({"accepted": _table("abcd")}, "ingest"),  # accepted and refused
        ({"refused": _table("dd", reason=["NOT_DICOM", "TRUNCATED"])}, "ingest"),  # refused twice
        ({"rows": _table("aa")}, "preprocess"),  # one was lost
        ({"undecoded": _table("", reason=[])}, "preprocess"),  # ... without a reason
        ({"rows": _table("aabc")}, "preprocess"),  # used and quarantined
        ({"undecoded": _table("cc", reason=["TRUNCATED", "UNSUPPORTED"])}, "preprocess"),  # quarantined twice
        ({"rows": _table("aabx")}, "preprocess"),  # one that was never accepted, in the place of another
    ],
)
def test_a_file_that_is_lost_or_counted_twice_is_a_defect(wrong: dict[str, pd.DataFrame], blamed: str) -> None:
    tables = {"accepted": ACCEPTED, "refused": REFUSED, "rows": ROWS, "undecoded": UNDECODED} | wrong
    with pytest.raises(ValueError, match=f"defect of {blamed}"):
        counting.count(**tables)


def test_a_total_is_the_sum() -> None:
    one = counting.count(ACCEPTED, REFUSED, ROWS, UNDECODED)
    other = counting.count(ACCEPTED, _table("", reason=[]), _table("abc"), _table("", reason=[]))
    assert counting.total([one, other]) == {
        "files": 9,
        "accepted": 6,
        "used": 5,
        "images": 6,
        "duplicates": 1,
        "quarantined": 3,
        "reasons": {"DUPLICATE": 1, "NOT_DICOM": 2, "TRUNCATED": 1},
    }
    assert counting.total([one]) == one


PARAMETERS = """
batches: [one, two]
ingest: {key_file: k.key, max_quarantined_fraction: 1}
preprocess: {size: 16, frames: {max: 4}, max_quarantined_fraction: 1}
"""


@pytest.fixture
def project(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two batches that were ingested and preprocessed, with files of every fate."""
    (workspace / "params.yaml").write_text(PARAMETERS)
    (workspace / "k.key").write_bytes(b"s" * 64)
    monkeypatch.setenv("RADREPRO_WORKERS", "1")
    one, two = Path("data/raw/one"), Path("data/raw/two")
    make_dicom(one / "image")
    make_dicom(one / "cine", np.stack([chest(number, bits=8) for number in range(3)]))
    make_dicom(one / "odd", SamplesPerPixel=None)
    shutil.copy(one / "image", one / "same")
    (one / "letter.txt").write_text("Jane Doe, thorax p.a.")
    make_dicom(two / "another")
    for batch in ("one", "two"):
        monkeypatch.setattr(sys, "argv", ["stage", batch])
        ingest.main()
        preprocess.main()
    return workspace


def test_what_became_of_every_file_of_every_batch(project: Path) -> None:
    account.main()

    found = intake.read()
    one, two = found["batches"]["one"], found["batches"]["two"]
    assert one["files"] == sum(path.is_file() for path in Path("data/raw/one").iterdir()) == 5
    assert (one["used"], one["images"], one["duplicates"], one["quarantined"]) == (2, 4, 1, 2)
    assert one["reasons"].keys() >= {"DUPLICATE", "NOT_DICOM"}
    for counts in (one, two, found["total"]):
        assert counts["files"] == counts["used"] + counts["duplicates"] + counts["quarantined"]
        assert sum(counts["reasons"].values()) == counts["duplicates"] + counts["quarantined"]
    assert (two["files"], two["used"], two["reasons"]) == (1, 1, {})
    assert found["total"]["files"] == 6
    assert json.loads(intake.TOTAL_PATH.read_text()) == found["total"], "what dvc metrics shows"
    assert intake.words(found["total"]) == "6 files: 3 used (5 images), 1 duplicate, 2 quarantined"


def test_a_lost_file_stops_the_stage_and_leaves_no_count(project: Path) -> None:
    index.write("one", index.read("one").iloc[1:])
    command = [sys.executable, "-m", "stages.account"]
    done = subprocess.run(command, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "defect of preprocess" in done.stderr
    assert not intake.PATH.exists()


def test_a_count_that_is_missing_is_one_line(workspace: Path) -> None:
    with pytest.raises(UserError, match=r"reports/intake\.json is not here: run 'dvc repro'"):
        intake.read()
