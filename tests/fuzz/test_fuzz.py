"""Thousands of damaged files through ingest, preprocess and account: each has one outcome, and harms no other.

A failure names the seed and the number of the mutant;
``python -m tests.fuzz.mutations <number> <file>`` makes it again.
"""

import logging
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from stages.account import __main__ as account
from stages.artifacts import images, index, intake, quarantine
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


def put(of: Sequence[Base], numbers: Sequence[int] = ()) -> dict[str, str]:
    """The bases and those mutants as the batch; the mutants' stories by path."""
    shutil.rmtree(RAW, ignore_errors=True)
    folder = RAW / "fuzz"
    for name in ("0 sound", "mutant"):
        (folder / name).mkdir(parents=True)
    for number, base in enumerate(of):
        (folder / "0 sound" / f"{number:04}").write_bytes(base.content)  # first by path: a mutant is the duplicate
    stories = {}
    for number in numbers:
        made = mutations.mutant(number, of)
        (folder / "mutant" / f"{number:06}").write_bytes(made.content)
        stories[f"mutant/{number:06}"] = made.story
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
    """Run with the bases alone, then among their mutants."""
    put(of)
    run()
    alone, before = pictures(), outcomes()
    stories = put(of, numbers)
    try:
        run()
    except Exception as error:  # noqa: BLE001 - whatever it is, the file that did it is wanted
        pytest.fail(f"seed {SEED}: {_culprits(of, numbers) or error!r}")

    found = outcomes()
    sound = found["path"].str.startswith("0 sound")
    files = [path.relative_to(RAW / "fuzz").as_posix() for path in (RAW / "fuzz").rglob("*") if path.is_file()]
    archives = set(files) - set(found["path"])  # their members stand for them
    assert all((RAW / "fuzz" / path).read_bytes()[:2] == b"PK" for path in archives)
    assert intake.read()["total"]["files"] == len(found) >= len(files) - len(archives)
    assert set(found["reason"]) <= {"", *Reason.__members__}
    pd.testing.assert_frame_equal(pictures(), alone)
    pd.testing.assert_frame_equal(found[sound].reset_index(drop=True), before)
    return found[~sound].assign(story=found["path"].map(stories))


def _culprits(of: Sequence[Base], numbers: Sequence[int]) -> list[str]:
    """The mutants with which it fails, found by halving."""
    stories = put(of, numbers)
    try:
        run()
    except Exception as error:  # noqa: BLE001 - as above
        if len(numbers) == 1:
            return [f"mutant {numbers[0]} ({', '.join(stories.values())}): {error!r}"]
        half = len(numbers) // 2
        return _culprits(of, numbers[:half]) or _culprits(of, numbers[half:])
    return []


def _tell(found: pd.DataFrame) -> None:
    counted = Counter(zip(found["stage"], found["reason"], found["detail"], strict=True))
    for (stage, reason, detail), files in sorted(counted.items()):
        sys.stdout.write(f"{files:6} {stage:10} {reason or 'used'} {detail}\n")


def test_a_few_mutants(project: Path) -> None:
    of = mutations.pydicom_bases()[::9]
    _tell(survive(of, range(120)))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_mutants_of_pydicoms_files(project: Path) -> None:
    found = survive(mutations.pydicom_bases(), range(int(__import__("os").environ.get("N", "12000"))))
    _tell(found)
    assert found["reason"].nunique() > 6, "the damage is of every kind"
    assert (found["stage"] != "quarantine").sum() > 200, "and reaches the decoders"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_mutants_of_awkward_files(project: Path, shared_data: Path) -> None:
    _tell(survive(mutations.bases(shared_data / "dicom-corpus"), range(500)))
