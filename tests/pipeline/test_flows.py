"""`radrepro run` does what `dvc repro` does, and Prefect remembers it."""

import json
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.states import Completed, Failed
from ruamel.yaml import YAML

from pipeline import flows, graph, subprocesses
from pipeline.tracking import store
from stages.runtime import UserError
from tests.pipeline.conftest import _enter, run

STAGES = [
    "check",
    "phantom",
    *(f"{stage}@{batch}" for stage in ("ingest", "preprocess") for batch in ("site-a", "site-b")),
    "account",
    "split",
    *(f"{stage}@{recipe}" for stage in ("finetune", "evaluate") for recipe in ("linear_probe", "fine_tune")),
    "compare",
    *(f"card@{recipe}" for recipe in ("linear_probe", "fine_tune")),
    "track",
]
LOCKED = "evaluate@linear_probe"

# Three times the command `radrepro run` in one process, which spares two starts of Prefect's server: on a project where
# nothing ran; where nothing changed; and where a recipe changed that another process is just evaluating.
TURNS = f"""
import contextlib, pathlib, sys
from filelock import FileLock
from pipeline import cli

sys.argv = ["radrepro", "run"]
for turn in ("fresh", "again", "stopped"):
    held = contextlib.nullcontext()
    if turn == "stopped":
        given = pathlib.Path("params.yaml")
        given.write_text(given.read_text().replace("weights: starter", "weights: none", 1))
        held = FileLock(".radrepro/locks/{LOCKED}.lock")
    with (
        open(f"../{{turn}}.out", "w") as out,
        open(f"../{{turn}}.err", "w") as err,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        held,
    ):
        try:
            cli.main()
            status = 0
        except SystemExit as ended:
            status = ended.code or 0
    pathlib.Path(f"../{{turn}}.status").write_text(str(status))
    pathlib.Path(f"../{{turn}}.lock").write_bytes(pathlib.Path("dvc.lock").read_bytes())
"""


@dataclass(frozen=True)
class Turn:
    """One `radrepro run`: what it said, how it ended, and what Prefect has of it."""

    status: int
    out: str
    err: str
    lock: dict[str, Any]
    flow_run: dict[str, Any]
    tasks: list[dict[str, Any]]
    logs: dict[str, list[str]]
    """Lines by task."""
    page: str
    """The summary artifact."""


@dataclass(frozen=True)
class Flown:
    fresh: Turn
    again: Turn
    stopped: Turn


@pytest.fixture(scope="module")
def flown(pristine: Path, tmp_path_factory: pytest.TempPathFactory) -> Flown:
    """The turns, in a project where nothing ran and with a Prefect that has no server and no database yet."""
    path = tmp_path_factory.mktemp("flown") / "project"
    shutil.copytree(pristine, path)
    with pytest.MonkeyPatch.context() as patch:
        _enter(path, patch)
        patch.setenv("PREFECT_HOME", str(path.parent / "prefect"))
        run(sys.executable, "-c", TURNS)
    runs = _rows(path.parent, "SELECT * FROM flow_run ORDER BY start_time")
    turns = zip(("fresh", "again", "stopped"), runs, strict=True)
    return Flown(**{name: _turn(path.parent, name, found) for name, found in turns})


def _turn(folder: Path, name: str, found: dict[str, Any]) -> Turn:
    by_id = f"WHERE flow_run_id = '{found['id']}'"
    tasks = _rows(folder, f"SELECT * FROM task_run {by_id} ORDER BY start_time")
    names = {task["id"]: task["name"] for task in tasks}
    logs: dict[str, list[str]] = {}
    for line in _rows(folder, f"SELECT * FROM log {by_id} ORDER BY timestamp"):
        logs.setdefault(names.get(line["task_run_id"], ""), []).append(line["message"])
    (page,) = _rows(folder, f"SELECT data FROM artifact {by_id} AND key = 'rebuild' AND type = 'markdown'")
    said = {kind: (folder / f"{name}.{kind}").read_text() for kind in ("out", "err")}
    return Turn(
        status=int((folder / f"{name}.status").read_text()),
        **said,
        lock=YAML(typ="safe").load(folder / f"{name}.lock"),
        flow_run=found,
        tasks=tasks,
        logs=logs,
        page=json.loads(page["data"]),
    )


def _rows(folder: Path, query: str) -> list[dict[str, Any]]:
    with sqlite3.connect(folder / "prefect/prefect.db") as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(query)]


# --- a run from nothing


@pytest.mark.slow
def test_a_run_gives_the_same_lock_as_dvc_repro(flown: Flown, built: Path) -> None:
    lock = flown.fresh.lock
    assert lock["stages"].pop("track")["cmd"] == "python -m pipeline.track"  # `built` stops before it
    assert lock == YAML(typ="safe").load(built / "dvc.lock")


@pytest.mark.slow
def test_a_run_says_how_many_stages_ran(flown: Flown) -> None:
    assert flown.fresh.status == 0, flown.fresh.err
    assert flown.fresh.out == "16 of 16 stages ran, the others were cached; 'radrepro results' shows what came out\n"


@pytest.mark.slow
def test_a_run_is_one_flow_run_with_a_task_per_stage(flown: Flown) -> None:
    assert flown.fresh.flow_run["state_type"] == "COMPLETED"
    assert sorted(task["name"] for task in flown.fresh.tasks) == sorted(STAGES)
    assert {task["state_type"] for task in flown.fresh.tasks} == {"COMPLETED"}


@pytest.mark.slow
def test_stages_run_after_what_they_depend_on(flown: Flown) -> None:
    order = [task["name"] for task in flown.fresh.tasks]
    for first, then in (
        ("check", "ingest@site-a"),
        ("phantom", "ingest@site-a"),
        ("preprocess@site-b", "split"),
        ("preprocess@site-b", "account"),
        ("account", "compare"),
        ("split", "finetune@fine_tune"),
        ("evaluate@linear_probe", "compare"),
        ("compare", "card@fine_tune"),
        ("card@linear_probe", "track"),
    ):
        assert order.index(first) < order.index(then)


@pytest.mark.slow
def test_a_tasks_log_holds_the_lines_of_its_stage_and_no_other(flown: Flown) -> None:
    logs = flown.fresh.logs
    assert "> python stages/make.py ingest site-a" in logs["ingest@site-a"]
    assert "ingest@site-a: 20 files" in logs["ingest@site-a"]
    assert not [line for line in logs["ingest@site-b"] if "site-a" in line]
    assert any("is version 1 of model 'radrepro'" in line for line in logs["track"])


@pytest.mark.slow
def test_the_terminal_shows_the_stages_lines_and_not_dvcs_hints(flown: Flown) -> None:
    assert "ingest@site-b: 20 files\n" in flown.fresh.err
    for hint in ("git add", "autostage", "Use `dvc push`", "Updating lock file"):
        assert hint not in flown.fresh.err
        assert not [line for lines in flown.fresh.logs.values() for line in lines if hint in line]


@pytest.mark.slow
def test_the_page_of_a_run_compares_the_recipes_and_tells_what_each_stage_took(flown: Flown) -> None:
    page = flown.fresh.page
    assert "## Recipes" in page
    assert "|**fine_tune**|0.870|0.860 (0.810 to 0.900)|" in page
    assert "40 files: 34 used (34 images), 0 duplicate, 6 quarantined." in page
    for stage in STAGES:
        assert f"|{stage}|ran|" in page


# --- a second run


@pytest.mark.slow
def test_a_second_run_says_that_all_is_cached(flown: Flown) -> None:
    assert flown.again.status == 0, flown.again.err
    assert flown.again.out.startswith("0 of 16 stages ran")
    assert {task["state_name"] for task in flown.again.tasks} == {"Cached"}
    assert len(flown.again.tasks) == len(STAGES)
    assert f"|track|{flows.UNCHANGED}|" in flown.again.page
    assert ">" not in flown.again.err


# --- a run that stops


@pytest.mark.slow
def test_a_failing_stage_stops_the_run_with_its_own_error(flown: Flown) -> None:
    said = flown.stopped.err.splitlines()
    why = f"another process is running {LOCKED}: wait for it, or stop it, then try again"
    assert flown.stopped.status == 1
    assert said[-1] == f"radrepro: error: stopped at {LOCKED}: {why}"
    assert "Traceback" not in flown.stopped.err
    assert not flown.stopped.out


@pytest.mark.slow
def test_nothing_runs_after_a_stage_that_failed(flown: Flown) -> None:
    *before, failed = flown.stopped.tasks
    assert failed["name"] == LOCKED
    assert failed["state_type"] == "FAILED"
    assert {task["state_type"] for task in before} == {"COMPLETED"}
    assert {"compare", "track"}.isdisjoint(task["name"] for task in before)
    assert flown.stopped.flow_run["state_type"] == "FAILED"


@pytest.mark.slow
def test_a_change_reaches_the_stages_that_read_what_it_makes(flown: Flown) -> None:
    """Before the run DVC calls the recipe's training stale, but not what evaluates it."""
    ran = {task["name"] for task in flown.stopped.tasks if task["state_name"] != "Cached"}
    assert ran == {"check", "finetune@linear_probe", LOCKED}


@pytest.mark.slow
def test_a_users_mistake_is_not_tried_again(flown: Flown) -> None:
    assert flown.stopped.tasks[-1]["run_count"] == 1


@pytest.mark.slow
def test_the_page_of_a_run_that_stopped_tells_where_and_shows_no_results(flown: Flown) -> None:
    assert f"|{LOCKED}|another process is running" in flown.stopped.page
    assert "## Recipes" not in flown.stopped.page
    assert "|compare|" not in flown.stopped.page


# --- what is tried again


@pytest.mark.parametrize(
    ("state", "again"),
    [
        (Failed(message=f"MLflow at http://mlflow:5000 {store.SILENT}: start it"), True),
        (Failed(message="params.yaml: recipes.fine_tune.lr: must be above 0"), False),
        (Failed(message="MLflow at http://mlflow:5000 refuses (no permission): mend that"), False),
        (Failed(), False),
    ],
)
def test_only_a_server_that_is_away_is_worth_another_try(state: Any, again: bool) -> None:
    assert flows._may_pass(None, None, state) is again
    assert flows.reproduce.retry_condition_fn is flows._may_pass
    assert flows.reproduce.retries > 0


def test_what_track_says_of_a_silent_server_is_recognised() -> None:
    """The two ends of an agreement: the stage's one line, and what the flow makes of it."""
    said = store._explain("http://mlflow:5000", ConnectionError("Max retries exceeded with url: /api"))
    reason = flows._reason([f"track: error: {said}", "ERROR: failed to reproduce 'track': exited with 1"])
    assert reason == said
    assert flows._may_pass(None, None, Failed(message=reason))


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["check: error: too small", "ERROR: failed to reproduce 'check'"], "too small"),
        (["one", "ERROR: output 'x' is already tracked"], "output 'x' is already tracked"),
        (["Traceback"], "it failed without a word: see the lines above"),
    ],
)
def test_the_reason_is_the_stages_own_or_else_dvcs(lines: list[str], reason: str) -> None:
    assert flows._reason(lines) == reason


# --- what is asked of DVC


def test_a_stage_that_cannot_have_changed_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise AssertionError("DVC was asked")

    monkeypatch.setattr(subprocesses, "stream", refuse)
    state = flows.reproduce.fn("split", "split", stale=False)
    assert (state.name, state.message) == ("Cached", flows.UNCHANGED)


@pytest.mark.parametrize(
    ("line", "name", "message"),
    [
        ("Stage 'split' didn't change, skipping", "Cached", flows.UNCHANGED),
        ("Stage 'split' is cached - skipping run, checking out outputs", "Cached", "restored from DVC's run cache"),
        ("Running stage 'split':", "Completed", "ran"),
    ],
)
def test_what_dvc_says_is_understood(monkeypatch: pytest.MonkeyPatch, line: str, name: str, message: str) -> None:
    monkeypatch.setattr(flows, "get_run_logger", lambda: SimpleNamespace(info=lambda _: None))
    monkeypatch.setattr(subprocesses, "dvc", lambda *_: [sys.executable, "-c", f"print({line!r})"])
    state = flows.reproduce.fn("split", "split", stale=True)
    assert (state.name, state.message, state.type) == (name, message, Completed().type)


def test_dvcs_own_words_are_the_ones_that_are_looked_for(project: Path) -> None:
    """Should DVC word it otherwise one day, a cached stage would be told as one that ran."""
    said: list[str] = []
    subprocesses.stream(subprocesses.dvc("repro", "--single-item", "split"), said.append)
    Path("data/cohort.parquet").unlink()
    entry = Path("dvc.lock").read_text()
    Path("dvc.lock").write_text(entry.replace("  split:\n", "  splat:\n"))
    subprocesses.stream(subprocesses.dvc("repro", "--single-item", "split"), said.append)
    for sign in flows._CACHED:
        assert any(sign in line for line in said), said


def test_the_plan_is_what_dvc_repro_would_do(project: Path) -> None:
    steps = graph.plan()
    names = [step.name for step in steps]
    assert sorted(step.name.rpartition(":")[2] for step in steps) == sorted(STAGES), "of suppliers only what is needed"
    for step in steps:
        assert all(names.index(upstream) < names.index(step.name) for upstream in step.upstream)
    assert {step.name for step in steps if step.stale} == {"track"}
    Path("stages/trainer.py").write_text("# another\n")
    stale = {step.name for step in graph.plan() if step.stale}
    assert {"finetune@linear_probe", "finetune@fine_tune"} <= stale
    assert {"split", "evaluate@fine_tune"}.isdisjoint(stale), "only what differs from the lock already"


# --- what is not told


def test_a_path_within_a_batch_does_not_reach_the_log_or_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect keeps both; a path can hold a name."""
    logged: list[str] = []
    said = "ERROR: [Errno 13] Permission denied: '/home/me/top/data/raw/june/Doe^Jane, born 1931/IM1'"
    monkeypatch.setattr(flows, "get_run_logger", lambda: SimpleNamespace(info=logged.append))
    monkeypatch.setattr(subprocesses, "dvc", lambda *_: [sys.executable, "-c", f"print({said!r}); exit(1)"])
    state = flows.reproduce.fn("split", "split", stale=True)
    assert state.message == "[Errno 13] Permission denied: '/home/me/top/data/raw/june/..."
    assert logged == [f"ERROR: {state.message}"]


def test_a_file_that_dvc_cannot_read_is_one_line_without_its_path(project: Path) -> None:
    batch = Path("data/raw/site-a")
    assert batch.is_dir()
    (batch / "Doe^Jane").symlink_to("/nowhere/at/all")
    with pytest.raises(UserError, match="No such file or directory") as raised:
        graph.plan()
    assert "Doe" not in str(raised.value)
    assert raised.value.__suppress_context__


# --- mistakes before any stage


@pytest.mark.parametrize("damage", ["stages: [", "stages:\n  a:\n    cmd: x\n    outs: [b]\n    deps: [b]\n"])
def test_a_pipeline_that_dvc_cannot_read_is_one_line(project: Path, damage: str) -> None:
    Path("dvc.yaml").write_text(damage)
    with pytest.raises(UserError, match=r"correct dvc\.yaml") as raised:
        graph.plan()
    assert "\n" not in str(raised.value)


def test_a_prefect_server_that_does_not_answer_is_one_line(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    done = subprocess.run(["radrepro", "run"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("radrepro: error: Prefect cannot start the flow (")
    assert line.endswith("unset PREFECT_API_URL; 'dvc repro' needs neither")
