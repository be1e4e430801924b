"""The small project, before and after a sweep. Git, DVC, MLflow and Optuna are real."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from optuna import Study
from optuna.pruners import ThresholdPruner

from pipeline.edit import edit
from pipeline.sweep import search, space
from tests.pipeline.conftest import _enter, run

RECIPE = "fine_tune"
SPACE = ["lr=choice:0.03,0.01,0.0001,5"]
"""The fake trainer's val AUROC is highest at 0.02; 0.0001 is below the pruner from the start; 5 is an error."""
SEED = 5
TRIALS = 4
PRUNER = ThresholdPruner(lower=0.6)


@dataclass(frozen=True)
class Swept:
    """A project after a sweep, and what the sweep must have left alone."""

    path: Path
    study: Study
    before: dict[str, str]


def untouched(path: Path) -> dict[str, str]:
    """All that git and DVC know of the workspace, and all that has looked at test."""
    files = ("params.yaml", "dvc.lock", "reports/test_looks.csv", "reports/comparison.json", ".git/index")
    return {
        "status": run("git", "-C", str(path), "status", "--porcelain"),
        "head": (path / ".git/HEAD").read_text() + run("git", "-C", str(path), "rev-parse", "HEAD"),
        "stash": run("git", "-C", str(path), "stash", "list"),
        **{name: (path / name).read_bytes().hex() for name in files},
    }


def experiments(path: Path) -> dict[str, str]:
    """DVC's experiments in a project: the git reference of each name."""
    refs = run("git", "-C", str(path), "for-each-ref", "--format=%(refname)", "refs/exps").split()
    return {ref.rpartition("/")[2]: ref for ref in refs if ref.count("/") == 4}  # refs/exps/ab/cdef/name


@pytest.fixture
def small(project: Path) -> Path:
    """The small project, built and committed, as the current folder."""
    _commit()
    return project


@pytest.fixture(scope="session")
def swept(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """A project with a change that is not committed, after one sweep of every kind of trial."""
    path = tmp_path_factory.mktemp("swept") / "project"
    shutil.copytree(built, path, symlinks=True)
    with pytest.MonkeyPatch.context() as patch:
        _enter(path, patch)
        _commit()
        edit({("recipes", RECIPE, "momentum"): 0.8})
        before = untouched(path)
        study = search.search(RECIPE, space.read(SPACE, RECIPE), TRIALS, SEED, PRUNER)
        return Swept(path, study, before)


def _commit() -> None:
    run("git", "add", "--all")
    run("git", "commit", "--quiet", "--message", "built")
