"""A sweep with real parts: DVC experiments made elsewhere, judged on val, in MLflow; it can be stopped at any time."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient
from optuna import Study
from optuna.trial import TrialState
from ruamel.yaml import YAML

from pipeline.sweep import outcome, search, space
from stages import params
from stages.runtime import UserError
from tests.pipeline.conftest import _enter, run
from tests.pipeline.sweep.conftest import PRUNER, RECIPE, SEED, SPACE, TRIALS, Swept, experiments, untouched

BEST = 0.75 - math.log10(0.03 / 0.02) / 10


def _tried(study: Study) -> list[float]:
    return [one.user_attrs["values"]["recipes.fine_tune.lr"] for one in search.finished(study)]


def _show(path: Path, revision: str, file: str) -> str:
    return run("git", "-C", str(path), "show", f"{revision}:{file}")


# --- one sweep of every kind of trial


def test_trials_come_to_a_model_are_ended_early_or_fail(swept: Swept) -> None:
    states = {lr: one.state for lr, one in zip(_tried(swept.study), search.finished(swept.study), strict=True)}
    assert states == {
        0.03: TrialState.COMPLETE,
        0.01: TrialState.COMPLETE,
        0.0001: TrialState.PRUNED,
        5: TrialState.FAIL,
    }
    (failed,) = [one for one in search.finished(swept.study) if one.state is TrialState.FAIL]
    assert failed.user_attrs["reason"].startswith("the loss is no longer a number in epoch 1: lower this recipe's lr (")
    log = failed.user_attrs["reason"].rpartition("(")[2].rstrip(")")
    assert "no longer a number" in (swept.path / log).read_text()


def test_the_best_is_best_on_val(swept: Swept) -> None:
    best = search.best_first(swept.study)
    assert [one.user_attrs["values"]["recipes.fine_tune.lr"] for one in best] == [0.03, 0.01]
    assert best[0].value == pytest.approx(BEST)


def test_trials_with_a_model_are_experiments_of_dvc(swept: Swept) -> None:
    best = {one.user_attrs["experiment"]: one.user_attrs["values"] for one in search.best_first(swept.study)}
    refs = experiments(swept.path)
    assert set(refs) == set(best)
    shown = json.loads(run("dvc", "--cd", str(swept.path), "exp", "show", "--json"))
    assert {name for revision in shown for one in revision["experiments"] or [] for name in [one["name"]]} == set(best)
    for name, values in best.items():
        tried = YAML(typ="safe").load(_show(swept.path, refs[name], "params.yaml"))["recipes"][RECIPE]
        assert tried["lr"] == values["recipes.fine_tune.lr"]
        assert tried["momentum"] == 0.8, "what was not committed is tried too"
        assert "models/fine_tune/model.safetensors" in _show(swept.path, refs[name], "dvc.lock")
        base = run("git", "-C", str(swept.path), "rev-parse", f"{refs[name]}^")
        assert base == run("git", "-C", str(swept.path), "rev-parse", "HEAD")


def test_the_workspace_is_left_alone(swept: Swept) -> None:
    assert untouched(swept.path) == swept.before
    assert swept.before["status"] == " M params.yaml\n"


def test_no_trial_looks_at_test(swept: Swept) -> None:
    copy = swept.path / ".radrepro/sweeps" / RECIPE / "copy"
    assert (copy / "models" / RECIPE / "model.safetensors").exists()
    assert not list(copy.rglob("predictions.parquet"))
    assert (copy / "reports/test_looks.csv").read_bytes() == (swept.path / "reports/test_looks.csv").read_bytes()
    for ref in experiments(swept.path).values():
        changed = run("git", "-C", str(swept.path), "diff", "--name-only", "HEAD", ref).split()
        assert [file for file in changed if file != f"models/{RECIPE}/.gitignore"] == ["dvc.lock", "params.yaml"]
    logs = "".join(log.read_text() for log in copy.parent.glob("logs/*.log"))
    assert f"finetune@{RECIPE}" in logs
    assert "evaluate" not in logs


def test_the_copy_keeps_nothing_of_trainings_that_nobody_goes_on_with(swept: Swept) -> None:
    assert not list((swept.path / ".radrepro/sweeps" / RECIPE / "copy/.radrepro").glob("work/finetune@*"))


def test_mlflow_has_the_sweep_and_its_trials(swept: Swept) -> None:
    client = MlflowClient(f"sqlite:///{swept.path / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("radrepro-sweeps").experiment_id])
    (parent,) = [one for one in runs if "mlflow.parentRunId" not in one.data.tags]
    assert parent.info.status == "FINISHED"
    assert parent.info.run_name == f"fine_tune sweep {swept.study.user_attrs['id'][:4]}"
    assert parent.data.params == {"recipes.fine_tune.lr": "choice:0.03,0.01,0.0001,5"}
    assert parent.data.metrics == {"val.auroc": pytest.approx(BEST), "trials": 4}
    children = {float(one.data.params["recipes.fine_tune.lr"]): one for one in runs if one is not parent}
    assert {one.data.tags["mlflow.parentRunId"] for one in children.values()} == {parent.info.run_id}
    assert {lr: one.info.status for lr, one in children.items()} == {
        0.03: "FINISHED",
        0.01: "FINISHED",
        0.0001: "KILLED",
        5: "FAILED",
    }
    best = children[0.03]
    assert parent.data.tags["best.experiment"] == best.data.tags["dvc.experiment"] == best.info.run_name
    assert best.data.metrics["val.auroc"] == pytest.approx(BEST)
    curve = client.get_metric_history(best.info.run_id, "curves/val_auroc")
    assert {point.step: point.value for point in curve} == {n: pytest.approx(BEST - 0.15 + 0.05 * n) for n in (1, 2, 3)}
    assert children[0.0001].data.tags["radrepro.pruned"] == "true"
    assert "dvc.experiment" not in children[0.0001].data.tags
    assert "no longer a number" in children[5].data.tags["radrepro.reason"]


def test_the_report_names_the_winner_and_what_became_of_the_others(swept: Swept) -> None:
    lines = outcome.report(swept.study).splitlines()
    winner = search.best_first(swept.study)[0].user_attrs["experiment"]
    assert lines[2].split() == [winner, "0.7324", "0.03"]
    assert "4 trials: 2 to the end, 1 ended early, 1 failed; test was not looked at" in lines
    assert lines[-1] == f"winner   {winner}: -S recipes.fine_tune.lr=0.03"


# --- on from there


@pytest.mark.slow
def test_the_winner_is_applied_without_training_and_judged_once(
    swept: Swept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(swept.path, tmp_path / "project", symlinks=True)
    _enter(tmp_path / "project", monkeypatch)
    before = params.PATH.read_text()
    looks = Path("reports/test_looks.csv").read_text()
    outcome.apply(swept.study, space.read(SPACE, RECIPE))
    changed = set(params.PATH.read_text().splitlines()) - set(before.splitlines())
    assert changed == {"    lr: 0.03"}
    assert "# every layer" in params.PATH.read_text()

    said = run("dvc", "repro", "compare")
    assert f"Stage 'finetune@{RECIPE}' is cached - skipping run, checking out outputs" in said
    assert f"Running stage 'evaluate@{RECIPE}'" in said
    after = Path("reports/test_looks.csv").read_text()
    assert after.startswith(looks)
    assert len(after.splitlines()) == len(looks.splitlines()) + 1
    assert after.endswith(f",{RECIPE}\n")
    assert json.loads(Path("reports/comparison.json").read_text())["test_looks"] == 3
    run("dvc", "repro", "--force", "compare")
    assert Path("reports/test_looks.csv").read_text() == after, "the same model is no new look"


@pytest.mark.slow
def test_a_bad_trial_is_ended_while_it_runs(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAKE_EPOCH_SECONDS", "100")
    with pytest.raises(UserError, match="none of 1 trials came to a model; the last: ended early"):
        search.search(RECIPE, space.read(["lr=choice:0.0001"], RECIPE), 1, SEED, PRUNER)
    assert not experiments(small)
    _wait_for_the_end(small)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.long)])
def test_a_sweep_that_was_stopped_goes_on_with_the_same_values(
    swept: Swept, small: Path, monkeypatch: pytest.MonkeyPatch, how: signal.Signals
) -> None:
    before = untouched(small)
    command = [sys.executable, "-m", "pipeline.cli", "sweep", RECIPE, "--set", SPACE[0], "--seed", str(SEED)]
    slowly = {**os.environ, "MAKE_EPOCH_SECONDS": "100"}
    sweep = subprocess.Popen([*command, "--trials", "2"], env=slowly, stderr=subprocess.PIPE, text=True)
    epochs = small / ".radrepro/sweeps" / RECIPE / "epochs.jsonl"
    while not epochs.exists():
        assert sweep.poll() is None
        time.sleep(0.1)
    sweep.send_signal(how)
    said = sweep.communicate()[1]
    if how is signal.SIGINT:
        assert sweep.returncode == 130
        assert "stopped: the same command goes on from here" in said
    _wait_for_the_end(small)  # nobody told them: the kernel does
    assert untouched(small) == before

    study = search.search(RECIPE, space.read(SPACE, RECIPE), 2, SEED, PRUNER)
    assert _tried(study) == _tried(swept.study)[:2]
    assert len(study.get_trials()) == 3, "the one that was stopped, and the two"
    assert untouched(small) == before


def test_where_all_trials_have_finished_nothing_runs_again(swept: Swept, monkeypatch: pytest.MonkeyPatch) -> None:
    _enter(swept.path, monkeypatch)
    study = search.search(RECIPE, space.read(SPACE, RECIPE), TRIALS, SEED, PRUNER)
    assert len(study.get_trials()) == TRIALS
    assert _tried(study) == _tried(swept.study)


def test_another_search_is_not_mixed_with_the_first(swept: Swept, monkeypatch: pytest.MonkeyPatch) -> None:
    _enter(swept.path, monkeypatch)
    with pytest.raises(UserError, match="so far had another --set: put that back and go on, or begin anew"):
        search.search(RECIPE, space.read(["lr=choice:0.02,0.03"], RECIPE), TRIALS, SEED)
    with pytest.raises(UserError, match="so far had another seed"):
        search.search(RECIPE, space.read(SPACE, RECIPE), TRIALS, SEED + 1)


# --- what cannot work is said in one line


@pytest.mark.slow
def test_where_the_first_trials_all_fail_the_others_are_not_tried(small: Path) -> None:
    with pytest.raises(UserError) as caught:
        search.search(RECIPE, space.read(["lr=uniform:2.0,5.0"], RECIPE), 20, SEED)
    assert str(caught.value).startswith("none of 3 trials came to a model; the last: the loss is no longer a number")
    assert str(caught.value).endswith(": mend that, and --restart")
    assert "\n" not in str(caught.value)
    search.forget(RECIPE)
    study = search.search(RECIPE, space.read(["lr=choice:0.02"], RECIPE), 1, SEED)
    assert study.best_value == pytest.approx(0.75)


def test_what_is_not_in_git_and_trials_need_is_named(small: Path) -> None:
    (small / "data/more.csv.dvc").write_text("outs: []\n")
    with pytest.raises(UserError, match=r"data/more\.csv\.dvc is not in git: git add it"):
        search.search(RECIPE, space.read(SPACE, RECIPE), 1, SEED)


def test_two_at_once_are_refused(small: Path) -> None:
    with search._alone(RECIPE), pytest.raises(UserError, match="another process is at the sweep of 'fine_tune'"):
        search.search(RECIPE, space.read(SPACE, RECIPE), 1, SEED)


def _wait_for_the_end(path: Path) -> None:
    """Of all processes of a trial; the test's own limit says if they do not."""
    while left := _processes(path):
        psutil.wait_procs(left, timeout=1)


def _processes(path: Path) -> list[psutil.Process]:
    """DVC and the training, below ``path``."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(path) and "finetune" in " ".join(process.cmdline()):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found
