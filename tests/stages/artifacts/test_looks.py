"""Every model that a test side judged is counted once, whoever evaluates it, however often, and for good."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages.artifacts import looks
from stages.artifacts.cohort import COLUMNS, Cohort, Subset, Task
from stages.runtime import UserError
from tests.conftest import ROOT

CLASSES = ("normal", "sick")


def _test_side(images: int = 6, sick: tuple[int, ...] = (1, 3)) -> Cohort:
    frame = pd.DataFrame({name: [f"{name}{n}" for n in range(images)] for name, _ in COLUMNS})
    frame = frame.assign(row=range(images), age=40.0, days=0, subset="test")
    frame["label:sick"] = [float(n in sick) for n in range(images)]
    return Cohort(frame.assign(**{"label:normal": 1 - frame["label:sick"]}), Task.BINARY, CLASSES).subset(Subset.TEST)


@pytest.fixture
def model(workspace: Path) -> Path:
    path = workspace / "model.safetensors"
    path.write_bytes(b"weights")
    return path


def test_a_test_side_is_its_images_and_labels_in_any_order() -> None:
    side = _test_side()
    shuffled = side.frame.sample(frac=1, random_state=1).reset_index(drop=True)
    assert looks.key(Cohort(shuffled, side.task, side.classes)) == looks.key(side)
    assert looks.key(_test_side(images=5)) != looks.key(side)
    assert looks.key(_test_side(sick=(1,))) != looks.key(side)
    moved = side.frame.assign(row=side.frame["row"] + 5, site="elsewhere")
    assert looks.key(Cohort(moved, side.task, side.classes)) == looks.key(side), "where pixels lie is no matter"


def test_a_label_that_is_unknown_is_another_than_no() -> None:
    side = _test_side()
    unknown = side.frame.assign(**{"label:sick": side.frame["label:sick"].replace(0.0, np.nan)})
    assert looks.key(Cohort(unknown, Task.MULTILABEL, CLASSES)) != looks.key(side)


def test_a_model_is_counted_once_for_each_test_side(model: Path) -> None:
    looks.record("side-1", model, "full")
    looks.record("side-1", model, "full")
    looks.record("side-1", model, "twin")
    assert looks.count("side-1") == 1
    assert looks.PATH.read_text() == f"test,model,recipe\nside-1,{hashlib.sha256(b'weights').hexdigest()},full\n"

    looks.record("side-2", model, "full")
    model.write_bytes(b"other weights")
    looks.record("side-1", model, "full")
    assert [looks.count(f"side-{n}") for n in (1, 2, 3)] == [2, 1, 0]


def test_lines_are_only_ever_added(model: Path) -> None:
    before = "test,model,recipe\nside-1,a,gone"  # the last line's end was lost in an editor
    looks.PATH.parent.mkdir()
    looks.PATH.write_text(before)
    looks.record("side-1", model, "full")
    assert looks.PATH.read_text().startswith(f"{before}\nside-1,")
    assert looks.count("side-1") == 2


def test_an_older_table_in_its_place_takes_no_look_back(model: Path) -> None:
    """As `dvc exp apply` and `git checkout` put it there."""
    looks.record("side-1", model, "full")
    older = looks.PATH.read_text()
    for content in (b"second", b"third"):
        model.write_bytes(content)
        looks.record("side-1", model, "full")
    looks.PATH.write_text(older + "side-2,of-another-branch,full\n")
    looks.record("side-1", model, "full")
    assert (looks.count("side-1"), looks.count("side-2")) == (3, 1)
    looks.PATH.write_text(older)
    looks.record("side-1", model, "full")
    assert (looks.count("side-1"), looks.count("side-2")) == (3, 1)


def test_recipes_that_are_evaluated_at_once_are_all_counted(workspace: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from stages.artifacts import looks\n"
        "for n in sys.argv[1:]: looks.record('t', Path(n), n)"
    )
    for number in range(40):
        (workspace / f"{number}").write_bytes(b"%d" % number)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    shares = [[str(number) for number in range(first, 40, 4)] for first in range(4)]
    writers = [subprocess.Popen([sys.executable, "-c", program, *share], env=env) for share in shares]
    assert [writer.wait() for writer in writers] == [0] * 4
    assert looks.count("t") == 40
    assert len(looks.PATH.read_text().splitlines()) == 41


@pytest.mark.parametrize(
    "damage", ["", "test,model\n", "test,model,recipe\na,b\n", "<<<<<<< HEAD\ntest,model,recipe\n"]
)
def test_a_damaged_table_is_refused_and_left(model: Path, damage: str) -> None:
    looks.PATH.parent.mkdir()
    looks.PATH.write_text(damage)
    with pytest.raises(UserError, match="restore it"):
        looks.record("t", model, "full")
    with pytest.raises(UserError, match="restore it"):
        looks.count("t")
    assert looks.PATH.read_text() == damage


def test_a_missing_table_is_not_taken_for_none_judged(workspace: Path) -> None:
    with pytest.raises(UserError, match=r"git checkout -- reports/test_looks\.csv"):
        looks.count("t")


def test_git_adds_up_what_two_branches_looked_at(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(name, "t@example.org")
    (workspace / ".gitattributes").write_bytes((ROOT / ".gitattributes").read_bytes())
    weights = workspace / "weights"

    def git(*arguments: str) -> None:
        subprocess.run(["git", *arguments], check=True, capture_output=True)

    def look(content: bytes) -> None:
        weights.write_bytes(content)
        looks.record("t", weights, "full")
        git("add", ".gitattributes", "reports")
        git("commit", "--message", "look")

    git("init", "--initial-branch=main")
    look(b"first")
    git("checkout", "-b", "other")
    look(b"second")
    git("checkout", "main")
    look(b"third")
    git("merge", "--no-edit", "other")
    assert looks.count("t") == 3


def test_the_shipped_table_is_one_and_in_git() -> None:
    looks.count("none", ROOT / looks.PATH)
    assert subprocess.run(["git", "check-ignore", "-q", looks.PATH], cwd=ROOT, check=False).returncode == 1
