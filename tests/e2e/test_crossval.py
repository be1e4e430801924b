"""Cross-validation as a user asks for it: an edit of params.yaml, then 'dvc repro'."""

import json
import sqlite3
from collections.abc import Callable

import pandas as pd
import pytest

from tests.e2e.conftest import Clone

pytestmark = [pytest.mark.long, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def crossed(new_clone: Callable[[str], Clone]) -> Clone:
    """A clone with one recipe that is cross-validated in three folds, and another that is not."""
    clone = new_clone("crossed")
    clone.edit({"cross_validation": {"recipes": ["linear_probe"], "folds": [1, 2, 3]}})
    clone.run("dvc", "repro")
    clone.commit("cross-validated")
    return clone


def _found(clone: Clone) -> dict:
    return json.loads(clone.read("reports/folds/linear_probe/crossval.json"))


def test_every_patient_of_train_and_val_is_judged_once_and_test_never(crossed: Clone) -> None:
    cohort = pd.read_parquet(crossed.path / "data/cohort.parquet")
    predictions = pd.read_parquet(crossed.path / "reports/folds/linear_probe/predictions.parquet")
    judged = predictions[predictions["role"] == "judged"]
    assert judged["image"].is_unique
    folds = pd.read_parquet(crossed.path / "data/folds.parquet")
    assert set(judged["image"]) == set(folds["image"])
    assert set(folds["image"]) <= set(cohort.loc[cohort["subset"] != "test", "image"])
    patients = cohort[cohort["image"].isin(folds["image"])].merge(folds[["image", "fold"]], on="image")
    assert patients.groupby("patient")["fold"].nunique().max() == 1
    assert _found(crossed)["left_out"] == (cohort["subset"] != "test").sum() - len(folds)


def test_all_that_reads_results_has_the_numbers(crossed: Clone) -> None:
    mean = _found(crossed)["mean"]["auroc"]
    compared = json.loads(crossed.read("reports/comparison.json"))["cross_validation"]
    assert {name: one["auroc"] for name, one in compared.items()} == {"linear_probe": mean}
    assert f"{mean['value']:.3f} [{mean['low']:.3f}, {mean['high']:.3f}]" in crossed.read("reports/comparison.html")
    shown = json.loads(crossed.run("dvc", "metrics", "show", "--json").stdout)
    assert "reports/folds/linear_probe/metrics.json" in json.dumps(shown)
    with sqlite3.connect(crossed.path / "mlflow.db") as database:
        logged = database.execute("select value from metrics where key = 'crossval.mean.auroc'").fetchall()
    assert {round(value, 6) for (value,) in logged} == {mean["value"]}
    assert "run 'dvc repro' without -s" not in crossed.run("dvc", "repro", "--force", "--single-item", "track").stderr


def test_a_second_repro_does_nothing(crossed: Clone) -> None:
    assert "Running stage" not in crossed.run("dvc", "repro").stdout
    assert not crossed.run("git", "status", "--porcelain").stdout, "reports that are not committed are ignored"


def test_a_recipe_that_changes_takes_its_folds_with_it_and_no_others(crossed: Clone) -> None:
    crossed.edit({"recipes": {"linear_probe": {"c": [0.1]}}})
    said = crossed.run("dvc", "repro").stdout
    ran = [line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage")]
    assert {name for name in ran if name.startswith("fold@")} == {f"fold@linear_probe-{n}" for n in (1, 2, 3)}
    assert not {"finetune@fine_tune", "evaluate@fine_tune", "split"} & set(ran)
    crossed.run("git", "checkout", "--", ".")


def test_taking_it_out_leaves_leftovers_that_tidy_removes(crossed: Clone) -> None:
    crossed.edit({"cross_validation": {"recipes": []}})
    done = crossed.run("dvc", "repro", check=False)
    assert "results of what params.yaml does not name: folds/linear_probe, reports/folds/linear_probe" in done.stderr
    crossed.run("radrepro", "tidy")
    crossed.run("dvc", "repro", "compare")
    assert json.loads(crossed.read("reports/comparison.json"))["cross_validation"] == {}
    crossed.run("git", "checkout", "--", ".")
