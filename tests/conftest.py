"""Shared fixtures: the development data beside the repository, and a workspace to run stages in."""

import os
import sys
from collections.abc import Iterator
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


@pytest.fixture(scope="module", autouse=True)
def _mlflow_stays_in_its_module() -> Iterator[None]:
    """MLflow keeps the address that was set last, in the environment too: the next module would write to it."""
    before = {name: os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")}
    yield
    if "mlflow" in sys.modules:
        import mlflow  # noqa: PLC0415 - 2 s, for tests that have it

        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]  # as before the first was set
        mlflow.set_registry_uri(None)  # type: ignore[arg-type]
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
