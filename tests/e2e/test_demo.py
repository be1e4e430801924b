"""The main job, end to end, with the commands of the README."""

import csv
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from tests import browser
from tests.e2e.conftest import Clone

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

RECIPES = ["linear_probe", "fine_tune", "scratch"]


def test_every_file_of_the_export_is_accounted_for(built: Clone) -> None:
    for batch in ("site-a", "site-b"):
        files = [path for path in (built.path / "data/raw" / batch).rglob("*") if path.is_file()]
        listed = list(csv.DictReader((built.path / f"data/restricted/{batch}.csv").open(encoding="utf-8")))
        assert sorted(row["path"] for row in listed) == sorted(
            path.relative_to(built.path / "data/raw" / batch).as_posix() for path in files
        )
        index = pd.read_parquet(built.path / f"data/index/{batch}.parquet")
        assert sum(row["status"] == "accepted" for row in listed) == len(index)
        reasons = {row["reason"] for row in listed}
        assert {"TRUNCATED", "NOT_DICOM", "DUPLICATE", "NO_PIXEL_DATA", "MISSING_PATIENT_ID"} <= reasons


def test_no_patient_is_on_two_sides(built: Clone) -> None:
    cohort = pd.read_parquet(built.path / "data/cohort.parquet")
    assert set(cohort["subset"]) == {"train", "val", "test"}
    assert cohort.groupby("patient")["subset"].nunique().max() == 1


def test_every_recipe_has_a_model_a_report_and_metrics_with_intervals(built: Clone) -> None:
    for recipe in RECIPES:
        assert (built.path / f"models/{recipe}/model.safetensors").stat().st_size > 0
        assert "<html" in built.read(f"reports/recipes/{recipe}/report.html")
        auroc = json.loads(built.read(f"reports/recipes/{recipe}/evaluation.json"))["test"]["auroc"]
        assert auroc["low"] <= auroc["value"] <= auroc["high"]


@pytest.mark.skipif(browser.program() is None, reason="no Chromium here: install one, or name it in RADREPRO_CHROMIUM")
def test_every_report_draws_all_its_figures_in_a_browser(built: Clone, tmp_path: Path) -> None:
    """Without an error of a script, and without the network."""
    reports = [built.path / "reports/comparison.html"]
    reports += [built.path / f"reports/recipes/{recipe}/report.html" for recipe in RECIPES]
    with browser.Browser(tmp_path) as chromium:
        found = {path.relative_to(built.path).as_posix(): browser.faults(chromium, path) for path in reports}
        narrow = {path.relative_to(built.path).as_posix(): browser.faults(chromium, path, 390) for path in reports}
    assert not any(found.values()), found
    assert not any(narrow.values()), narrow


def test_a_key_on_the_contact_sheet_leads_to_its_file(built: Clone) -> None:
    (worst,) = list(csv.DictReader(built.read("reports/recipes/scratch/errors.csv").splitlines()))[:1]
    assert f"{worst['image'][:12]}\n{worst['actual']}, said" in built.read("reports/recipes/scratch/report.html")
    (row,) = csv.DictReader(built.run("radrepro", "find", worst["image"][:12]).stdout.splitlines())
    assert (built.path / row["path"]).is_file()
    assert row["batch"] == worst["batch"]


def test_the_best_recipe_by_validation_is_registered_with_its_chain(built: Clone) -> None:
    comparison = json.loads(built.read("reports/comparison.json"))
    with sqlite3.connect(built.path / "mlflow.db") as database:
        (description,) = database.execute("select description from model_versions").fetchone()
        runs = [name for (name,) in database.execute("select name from runs where status = 'FINISHED'")]
    assert comparison["best"] in description
    assert "finetune@" in description
    assert set(RECIPES) <= set(runs)


def test_a_second_repro_does_nothing_and_says_so(built: Clone) -> None:
    said = built.run("dvc", "repro").stdout
    assert "Running stage" not in said
    assert "up to date" in said
    assert not built.run("git", "status", "--porcelain").stdout


def test_the_same_clone_built_twice_gives_the_same_lock(built: Clone, new_clone: Callable[[str], Clone]) -> None:
    """The second time by the Prefect flow: it runs the same stages, with the same results."""
    other = new_clone("twice")
    other.run("radrepro", "run")
    for lock in ("dvc.lock", "stages/phantom/dvc.lock", "stages/weights/dvc.lock"):
        assert other.read(lock) == built.read(lock)


def test_dvc_commands_work_as_a_dvc_user_expects(built: Clone) -> None:
    assert "up to date" in built.run("dvc", "status").stdout
    assert "finetune@scratch" in built.run("dvc", "dag").stdout
    metrics = json.loads(built.run("dvc", "metrics", "show", "--json").stdout)
    shown = json.dumps(metrics)
    assert "reports/recipes/scratch/metrics.json" in shown
    built.run("dvc", "plots", "show", "--out", str(built.path.parent / "plots"))
    assert "roc" in (built.path.parent / "plots/index.html").read_text(encoding="utf-8")
    plots = json.loads(built.run("dvc", "plots", "show", "--json").stdout)["data"]
    for recipe in RECIPES:
        drawn = json.dumps(plots[f"reports/recipes/{recipe}/plots/roc.csv"])
        assert all(name in drawn for name in ("normal", "pneumonia", "effusion")), "a curve for each class"
    assert plots["models/fine_tune/history.csv"]


def test_going_back_to_earlier_params_restores_from_the_run_cache(built: Clone) -> None:
    before = YAML(typ="safe").load(built.read("dvc.lock"))["stages"]
    looks = json.loads(built.read("reports/comparison.json"))["test_looks"]
    built.edit({"recipes": {"scratch": {"lr": 0.011}}})
    said = built.run("dvc", "repro").stdout
    assert "Running stage 'finetune@scratch'" in said
    assert "Running stage 'finetune@fine_tune'" not in said
    assert "Running stage 'ingest" not in said

    built.run("git", "checkout", "--", "params.yaml")
    said = built.run("dvc", "repro").stdout
    assert "Stage 'finetune@scratch' is cached" in said
    after = YAML(typ="safe").load(built.read("dvc.lock"))["stages"]
    cards = {f"card@{recipe}" for recipe in RECIPES}  # they tell how many models test has judged
    assert {name for name in before if after[name] != before[name]} == {"compare", "track", *cards}
    compared = json.loads(built.read("reports/comparison.json"))
    assert compared["test_looks"] == looks + 1, "test has looked at the other model; that is not taken back"
    built.run("git", "checkout", "--", ".")


def test_an_experiment_changes_one_parameter(built: Clone) -> None:
    built.run("dvc", "exp", "run", "--temp", "--name", "slower", "-S", "recipes.fine_tune.lr=0.01")
    shown = built.run("dvc", "exp", "show", "--csv").stdout
    assert "slower" in shown
    built.run("dvc", "exp", "remove", "slower")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"recipes": {"scratch": {"epohcs": 3}}}, "epohcs"),
        ({"preprocess": {"size": -1}}, "size"),
        ({"batches": ["site-a", "site-b", "nowhere"]}, "nowhere"),
        ({"recipes": {"scratch": {"strategy": "magic"}}}, "strategy"),
    ],
)
def test_a_faulty_parameter_is_one_line_before_any_work(built: Clone, change: dict, named: str) -> None:
    try:
        built.edit(change)
        done = built.run("dvc", "repro", check=False)
        assert done.returncode != 0
        said = [line for line in done.stderr.splitlines() if "error:" in line]
        assert len(said) == 1
        assert named in said[0]
        assert "Traceback" not in done.stderr
        assert "Running stage 'ingest" not in done.stdout
    finally:
        built.run("git", "checkout", "--", ".")
        built.run("dvc", "repro", "check")  # its output is gone, as DVC removes outputs before a command


def test_results_are_printed_with_the_way_to_the_report_and_to_mlflow(built: Clone) -> None:
    said = built.run("radrepro", "results").stdout
    assert all(recipe in said for recipe in RECIPES)
    assert "reports/comparison.html" in said
    assert "make ui" in said
