"""A clone of this repository with a small phantom, built once by the real ``dvc repro``."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]

SMALL = {
    "phantom": {"patients": 60},
    "preprocess": {"size": 64},
    "recipes": {"fine_tune": {"epochs": 2}, "scratch": {"epochs": 2}},
    "evaluate": {"resamples": 200},
}


@dataclass(frozen=True)
class Clone:
    """A working copy of its own, and the commands a user would type in it."""

    path: Path
    env: dict[str, str] = field(repr=False)

    def run(self, *command: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, cwd=self.path, env={**self.env, **env}, text=True, capture_output=True, check=False, timeout=900
        )
        if check and done.returncode != 0:
            pytest.fail(f"{' '.join(command)} exited {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done

    def edit(self, changes: dict) -> None:
        """Change params.yaml as a user's editor would: the comments stay."""
        yaml = YAML()
        path = self.path / "params.yaml"
        content = yaml.load(path)
        _merge(content, changes)
        yaml.dump(content, path)

    def read(self, name: str) -> str:
        return (self.path / name).read_text(encoding="utf-8")

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", message)


def _merge(content: dict, changes: dict) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(content.get(key), dict):
            _merge(content[key], value)
        else:
            content[key] = value


@pytest.fixture(scope="session")
def new_clone(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Clone]:
    """Make a clone as this working tree stands, committed, with the small phantom and nothing built."""

    def make(name: str) -> Clone:
        path = tmp_path_factory.mktemp(name) / "radrepro"
        path.mkdir()
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        )
        for file in filter(None, listed.stdout.decode().split("\0")):
            if (ROOT / file).is_file():
                (path / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / file, path / file)
        env = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(path),
            "HOME": str(path.parent),
            "PREFECT_HOME": str(path.parent / "prefect"),
            "GIT_AUTHOR_NAME": "Test",
            "GIT_AUTHOR_EMAIL": "test@example.org",
            "GIT_COMMITTER_NAME": "Test",
            "GIT_COMMITTER_EMAIL": "test@example.org",
            "DO_NOT_TRACK": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        for inherited in ("MLFLOW_TRACKING_URI", "PYTHONDONTWRITEBYTECODE"):
            env.pop(inherited, None)
        clone = Clone(path, env)
        clone.edit(SMALL)
        clone.run("git", "init", "--quiet", "--initial-branch=main")
        clone.commit("as it stands, with a small phantom")
        return clone

    return make


@pytest.fixture(scope="session")
def built(new_clone: Callable[[str], Clone]) -> Clone:
    """The clone after ``dvc repro``. Tests that change it put it back."""
    clone = new_clone("built")
    clone.run("dvc", "repro")
    clone.commit("built")
    return clone
