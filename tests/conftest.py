"""Shared fixtures: the development data beside the repository, and a workspace to run stages in."""

import os
from pathlib import Path

import pytest

# As stages/__init__.py does, but before a test imports torch: with spinning threads tests take minutes, not seconds.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real X-rays and awkward files, never in the repository: beside the clone, or where RADREPRO_SHARED says."""
    path = Path(os.environ.get("RADREPRO_SHARED", ROOT.parent / "shared")) / "data"
    if not path.is_dir():
        pytest.skip(
            "development data not found beside the repository (../shared/data); set RADREPRO_SHARED to its folder"
        )
    return path


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the current one: stages read and write paths relative to the repository's top."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
