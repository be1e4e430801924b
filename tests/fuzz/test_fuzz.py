"""Thousands of damaged files through ingest, preprocess and account: each has one outcome, and harms no other.

A failure names the seed and the number of the mutant;
``python -m tests.fuzz.mutations <number> <file>`` makes it again.
"""

import logging
import os
import shutil
import socket
import sys
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from stages.account import __main__ as account
from stages.account import counting
from stages.artifacts import images, index, intake, quarantine
from stages.artifacts.intake import Counts
from stages.ingest import __main__ as ingest
from stages.preprocess import __main__ as preprocess
from stages.reasons import Reason
from tests.fuzz import mutations
from tests.fuzz.mutations import SEED, Base

RAW = Path("data/raw")
LIMITS = "limits: {seconds: 10, memory_mib: 1024}, max_quarantined_fraction: 1"
PARAMETERS = f"""
batches: [fuzz]
ingest: {{key_file: k.key, burned_in_absent: pass, {LIMITS}}}
preprocess: {{size: 16, frames: {{max: 3}}, {LIMITS}}}
"""


@pytest.fixture
def project(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose files may take little time and memory."""
    (workspace / "params.yaml").write_text(PARAMETERS)
    (workspace / "k.key").write_bytes(b"s" * 64)
    monkeypatch.setattr(sys, "argv", ["stage", "fuzz"])
    monkeypatch.setattr(logging.getLogger("pydicom"), "disabled", True)  # it has much to say of mutants
    return workspace


def run() -> None:
    """The data stages as they are, over what lies in the batch's folder."""
    ingest.main()
    preprocess.main()
    account.main()


def put(of: Sequence[Base], numbers: Sequence[int] = ()) -> dict[int, str]:
    """The bases and those mutants as the batch; the mutants' stories."""
    shutil.rmtree(RAW, ignore_errors=True)
    folder = RAW / "fuzz"
    for name in ("0 sound", "mutant"):
        (folder / name).mkdir(parents=True)
    for number, base in enumerate(of):
        (folder / "0 sound" / f"{number:04}").write_bytes(base.content)  # first by path: a mutant is the duplicate
    stories = {}
    for number in numbers:
        made = mutations.mutant(number, of)
        (folder / "mutant" / f"{number:06}{made.suffix}").write_bytes(made.content)
        stories[number] = made.story
    return stories


def pictures() -> pd.DataFrame:
    """What was made of the sound files: which images, and their pixels' hashes."""
    paths = index.read_restricted("fuzz").set_index("file")["path"]
    rows = images.rows("fuzz")[["file", "image", "pixel_sha256", "window", "decoder"]]
    rows["path"] = rows["file"].map(paths)
    return rows[rows["path"].str.startswith("0 sound")].sort_values("image", ignore_index=True)


def outcomes() -> pd.DataFrame:
    """Every file: its path, the reason (none if there are images), and the detail."""
    found = index.read_restricted("fuzz")[["file", "path"]]
    tables = (index.quarantine_path("fuzz"), images.quarantine_path("fuzz"))
    refused = pd.concat([quarantine.read(path).assign(stage=path.parent.name) for path in tables])
    return found.merge(refused, on="file", how="left", validate="one_to_one").fillna("")


def survive(of: Sequence[Base], numbers: Sequence[int]) -> pd.DataFrame:
    """Run with the bases alone, then among their mutants; what became of these."""
    put(of)
    run()
    expected = pictures(), outcomes()
    if fault := _fault(of, numbers, *expected):
        pytest.fail(f"seed {SEED}: {_narrowed(of, numbers, *expected) or fault}")
    found = outcomes()
    return found[found["path"].str.startswith("mutant/")]


def _fault(of: Sequence[Base], numbers: Sequence[int], alone: pd.DataFrame, before: pd.DataFrame) -> str:
    """What is wrong when these mutants are among the bases; nothing if all is well."""
    told = ", ".join(f"mutant {number} ({story})" for number, story in put(of, numbers).items())
    try:
        run()
        found = outcomes()
        files = {path.relative_to(RAW / "fuzz").as_posix() for path in (RAW / "fuzz").rglob("*") if path.is_file()}
        inside = found["path"].str.extract(r"^([^/]+/[^/]+\.zip)/", expand=False)
        assert {path for path in found["path"] if path in files} | set(inside.dropna()) == files, (
            "a file has no outcome"
        )
        assert intake.read()["total"]["files"] == len(found)
        assert set(found["reason"]) <= {"", *Reason.__members__}
        pd.testing.assert_frame_equal(pictures(), alone)
        sound = found["path"].str.startswith("0 sound")
        pd.testing.assert_frame_equal(found[sound].reset_index(drop=True), before)
    except Exception as error:  # noqa: BLE001 - whatever it is, the file that did it is wanted
        return f"{told[:500]}: {error!r}"
    return ""


def _narrowed(of: Sequence[Base], numbers: Sequence[int], *expected: pd.DataFrame) -> str:
    """The same for one mutant that is enough, found by halving; nothing if it takes several."""
    while len(numbers) > 1:
        half = len(numbers) // 2
        halves = (numbers[:half], numbers[half:])
        numbers = next((part for part in halves if _fault(of, part, *expected)), [])
    return _fault(of, numbers, *expected) if numbers else ""


def _tell(found: pd.DataFrame) -> None:
    counted = Counter(zip(found["stage"], found["reason"], found["detail"], strict=True))
    for (stage, reason, detail), files in sorted(counted.items()):
        sys.stdout.write(f"{files:6} {stage:10} {reason or 'used'} {detail}\n")


def test_a_file_that_harms_another_is_found_and_told(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fuzz itself: it must fail, and say how to make the file again."""
    of, guilty, count = mutations.pydicom_bases()[:4], 1, counting.count

    def lose(accepted: pd.DataFrame, refused: pd.DataFrame, *made: pd.DataFrame) -> Counts:
        there = (RAW / f"fuzz/mutant/{guilty:06}{mutations.mutant(guilty, of).suffix}").exists()
        return count(accepted, refused.iloc[1:] if there else refused, *made)

    monkeypatch.setattr(counting, "count", lose)
    with pytest.raises(pytest.fail.Exception, match=rf"^seed {SEED}: mutant {guilty} \(.+\): AssertionError"):
        survive(of, range(4))


def test_a_few_mutants(project: Path) -> None:
    of = mutations.pydicom_bases()[::9]
    _tell(survive(of, range(120)))


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_mutants_of_pydicoms_files(project: Path) -> None:
    found = survive(mutations.pydicom_bases(), range(12_000))
    _tell(found)
    assert found["reason"].nunique() > 6, "the damage is of every kind"
    assert (found["stage"] != "quarantine").sum() > 200, "and reaches the decoders"


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_mutants_of_awkward_files(project: Path, shared_data: Path) -> None:
    _tell(survive(mutations.bases(shared_data / "dicom-corpus"), range(2000)))


@pytest.mark.long
@pytest.mark.slow
def test_links_in_circles_pipes_devices_holes_and_bombs(project: Path) -> None:
    """What lies on a disk and is no file with an end: nothing waits, nothing is read for ever, nothing fills memory."""
    of = mutations.pydicom_bases()[::20]
    put(of)
    run()
    alone = pictures()
    folder = RAW / "fuzz/mutant"
    (folder / "circle").symlink_to(folder.absolute(), target_is_directory=True)
    (folder / "out").symlink_to("/", target_is_directory=True)
    (folder / "itself").symlink_to("itself")
    (folder / "there").symlink_to("and back")
    (folder / "and back").symlink_to("there")
    (folder / "circle.zip").symlink_to("circle.zip")
    (folder / "zeros").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe")
    os.mkfifo(folder / "pipe.zip")
    with socket.socket(socket.AF_UNIX) as plug:
        plug.bind(os.path.relpath(folder / "socket"))
    (folder / "deep" / Path(*["d" * 50] * 20)).mkdir(parents=True)
    shutil.copy(RAW / "fuzz/0 sound/0000", folder / "deep" / Path(*["d" * 50] * 20) / "image")
    with (folder / "hole").open("wb") as file:
        file.truncate(2**40)
    with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a", "b"):
            with archive.open(name, "w", force_zip64=True) as member:
                for _ in range(600):
                    member.write(bytes(2**20))
    with zipfile.ZipFile(folder / "nested.zip", "w") as archive:
        archive.write(folder / "bomb.zip", "inner.zip")
        archive.write(RAW / "fuzz/0 sound/0000", "image")

    run()

    found = outcomes().set_index("path")
    reasons = found["reason"][found.index.str.startswith("mutant/")].to_dict()
    hole = reasons.pop("mutant/hole")
    assert hole in {"NOT_DICOM", "TOO_LARGE", "DECODE_TIMEOUT"}
    image = next(path for path in reasons if path.endswith("/image") and "deep" in path)
    assert {reasons.pop(image), reasons.pop("mutant/nested.zip/image")} <= {
        "",
        "DUPLICATE",
        found["reason"]["0 sound/0000"],
    }
    assert {path.removeprefix("mutant/"): reason for path, reason in reasons.items()} == {
        "circle": "LINK",
        "out": "LINK",
        "itself": "UNREADABLE",
        "there": "UNREADABLE",
        "and back": "UNREADABLE",
        "circle.zip": "UNREADABLE",
        "zeros": "NOT_DICOM",
        "pipe": "NOT_DICOM",
        "pipe.zip": "NOT_DICOM",
        "socket": "NOT_DICOM",
        "bomb.zip/a": "TOO_LARGE",
        "bomb.zip/b": "TOO_LARGE",
        "nested.zip/inner.zip": "ARCHIVE",
    }
    pd.testing.assert_frame_equal(pictures(), alone)
