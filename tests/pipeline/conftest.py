"""A small project: the shape of the real pipeline, real git, DVC and MLflow, stages that take milliseconds."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

ENVIRONMENT = {
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "PYTHONPATH": str(ROOT),
    "GIT_AUTHOR_NAME": "Test",
    "GIT_AUTHOR_EMAIL": "test@example.org",
    "GIT_COMMITTER_NAME": "Test",
    "GIT_COMMITTER_EMAIL": "test@example.org",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def run(*command: str) -> str:
    """In the current folder; its output, or the test fails with it."""
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    if done.returncode != 0:
        pytest.fail(f"{' '.join(command)} exited {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, committed, with nothing run."""
    path = tmp_path_factory.mktemp("pristine") / "project"
    shutil.copytree(HERE / "project", path)
    (path / "gitignore").rename(path / ".gitignore")
    with pytest.MonkeyPatch.context() as patch:
        _enter(path, patch)
        run("git", "init", "--quiet", "--initial-branch=main")
        run("dvc", "init", "--quiet")
        shutil.copy(ROOT / ".dvc/config", ".dvc/config")  # no daemon that asks the network for news
        run("git", "add", "--all")
        run("git", "commit", "--quiet", "--message", "start")
    return path


@pytest.fixture(scope="session")
def built(pristine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project after `dvc repro card`, with an MLflow database that nothing was logged to."""
    path = tmp_path_factory.mktemp("built") / "project"
    shutil.copytree(pristine, path)
    with pytest.MonkeyPatch.context() as patch:
        _enter(path, patch)
        run("dvc", "repro", "card")
        run("mlflow", "db", "upgrade", "sqlite:///mlflow.db")
    return path


@pytest.fixture
def fresh(pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the pristine project, as the current folder."""
    return _copy(pristine, tmp_path, monkeypatch)


@pytest.fixture
def project(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the built project, as the current folder."""
    return _copy(built, tmp_path, monkeypatch)


def _copy(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "project"
    shutil.copytree(source, path, symlinks=True)
    _enter(path, monkeypatch)
    return path


def _enter(path: Path, patch: pytest.MonkeyPatch) -> None:
    patch.chdir(path)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "PREFECT_API_URL"):
        patch.delenv(name, raising=False)
    for name, value in ENVIRONMENT.items():
        patch.setenv(name, value)
