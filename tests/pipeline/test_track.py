"""What MLflow holds after `track`, read with MLflow's own client from the database that one real run made.

In the tracked project the recipe that is best on val is not the one that is best on test.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from ruamel.yaml import YAML

from pipeline import lineage, summary, track
from pipeline.lineage import File
from pipeline.serving import packing
from pipeline.serving.spec import Spec
from pipeline.tracking import datasets, describe, results, runs, store, workspace
from pipeline.tracking.results import RecipeResult, Results
from stages import params
from stages.artifacts import evaluation
from stages.artifacts.cohort import Cohort
from stages.runtime import UserError
from tests.pipeline.conftest import _enter, run

BEST, BEST_ON_TEST = "fine_tune", "linear_probe"


@dataclass(frozen=True)
class Picture:
    """What MLflow holds about one tracking: the parent run, its children by name, the versions."""

    path: Path
    client: MlflowClient
    parent: Run
    children: dict[str, Run]
    versions: list[Any]
    mark: bytes
    """reports/tracked.json."""

    def files(self, of: Run) -> set[str]:
        found, todo = set(), [None]
        while todo:
            for item in self.client.list_artifacts(of.info.run_id, todo.pop()):
                todo.append(item.path) if item.is_dir else found.add(item.path)
        return found

    def read(self, path: str) -> str:
        """An artifact of the parent run."""
        return Path(self.client.download_artifacts(self.parent.info.run_id, path)).read_text()


def _client(path: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{path / 'mlflow.db'}", f"sqlite:///{path / 'mlflow.db'}")


def _all_runs(client: MlflowClient) -> list[Run]:
    return client.search_runs([found.experiment_id for found in client.search_experiments()])


def _picture(path: Path) -> Picture:
    """Of the last tracking in ``path``."""
    client = _client(path)
    last = json.loads((path / ".radrepro/last_run.json").read_text())["run"]
    children = [found for found in _all_runs(client) if found.data.tags.get("mlflow.parentRunId") == last]
    versions = list(client.search_model_versions("name = 'radrepro'"))
    mark = (path / "reports/tracked.json").read_bytes()
    by_name = {child.info.run_name: child for child in children}
    return Picture(path, client, client.get_run(last), by_name, versions, mark)


def _lock(path: Path) -> dict[str, dict[str, Any]]:
    """Every stage's entry, as DVC wrote it."""
    entries: dict[str, dict[str, Any]] = {}
    for lock in (path / "dvc.lock", path / "suppliers/phantom/dvc.lock"):
        entries |= YAML(typ="safe").load(lock)["stages"]
    return entries


@pytest.fixture(scope="module")
def tracked(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Picture:
    """The project, committed, after one real `python -m pipeline.track`."""
    path = tmp_path_factory.mktemp("tracked") / "project"
    shutil.copytree(built, path)
    with pytest.MonkeyPatch.context() as patch:
        _enter(path, patch)
        judged = evaluation.read(BEST_ON_TEST)
        judged["test"]["auroc"]["value"] = 0.97
        evaluation.write(BEST_ON_TEST, judged)
        run("dvc", "commit", "--force", f"evaluate@{BEST_ON_TEST}")
        run("dvc", "repro", "card")
        run("git", "add", "--all")
        run("git", "commit", "--quiet", "--message", "results")
        run(sys.executable, "-m", "pipeline.track")
        picture = _picture(path)
        assert len(_all_runs(picture.client)) == 3, "the parent and a child per recipe, and nothing else"
        return picture


@pytest.fixture(scope="module")
def again(tracked: Picture) -> Picture:
    """The same result tracked a second time, from a changed tree: a comment, a new module, a file that is no code."""
    path = tracked.path
    with pytest.MonkeyPatch.context() as patch:
        _enter(path, patch)
        (path / "params.yaml").write_text((path / "params.yaml").read_text() + "# a comment\n")
        (path / "stages/new.py").write_text("NEW = 1\n")
        (path / "letter.txt").write_text("Doe^Jane\n")
        (path / ".dvcignore").write_text("Doe^Jane\n")
        track.main()
        return _picture(path)


@pytest.fixture(autouse=True)
def _its_own_mlflow() -> Iterator[None]:
    """MLflow's client leaves its last address in the environment, where the next test of this process would find it."""
    names = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
    for name in names:
        os.environ.pop(name, None)
    yield
    for name in names:
        os.environ.pop(name, None)


# --- what one tracking leaves


def test_one_run_has_a_run_per_recipe_and_all_are_finished(tracked: Picture) -> None:
    assert set(tracked.children) == {"linear_probe", "fine_tune"}
    assert {found.info.status for found in (tracked.parent, *tracked.children.values())} == {"FINISHED"}
    assert tracked.parent.info.run_name.startswith(BEST)


def test_params_yaml_is_flattened(tracked: Picture) -> None:
    given = tracked.parent.data.params
    assert given["recipes.fine_tune.lr"] == "0.02"
    assert given["recipes.fine_tune.strategy"] == "full"
    assert given["split.fractions.val"] == "0.25"
    assert given["batches"] == '["site-a", "site-b"]'
    assert given["seed"] == "1"
    assert given["self_supervised"] == "{}"
    assert not any("{" in value for value in given.values() if value != "{}"), "nothing is left nested"


def test_a_recipe_has_its_own_parameters_and_how_it_was_trained(tracked: Picture) -> None:
    given = tracked.children["fine_tune"].data.params
    assert given["lr"] == "0.02"
    assert given["epochs"] == "3"
    assert given["architecture"] == "tiny"
    assert given["device"] == "cpu"
    assert tracked.children["linear_probe"].data.params["chosen.c"] == "0.1"


@pytest.mark.parametrize("recipe", ["linear_probe", "fine_tune"])
def test_every_metric_of_a_recipe_has_its_interval(tracked: Picture, recipe: str) -> None:
    logged = tracked.children[recipe].data.metrics
    judged = json.loads((tracked.path / f"reports/recipes/{recipe}/evaluation.json").read_text())
    for side in ("val", "test"):
        for name, found in judged[side].items():
            if isinstance(found, dict):
                assert logged[f"{side}.{name}"] == found["value"]
                assert logged[f"{side}.{name}.low"] == found["low"]
                assert logged[f"{side}.{name}.high"] == found["high"]
            else:
                assert logged[f"{side}.{name}"] == found
    assert logged["trainable_parameters"] == 4
    assert "train_seconds" in logged


ODD = ("mass (any)", "n/a", "/", "Ergu\u00df", "a(b)", "a[b]", "value", "l" * 300)
"""Names that a class or a site may have; MLflow refuses most of them, and takes two of them for one."""


def _nested(results: Results) -> RecipeResult:
    """A recipe whose evaluation holds what any module may add to it."""
    entry = {"value": 0.5, "low": 0.25, "high": None}
    test = {
        "auroc": {"value": 0.75, "low": 0.5, "high": 1.0},
        "per_class": {name: {"auroc": entry | {"value": number}} for number, name in enumerate(ODD)},
        "calibration": {"ece": entry, "bins": [{"low": 0.0, "confidence": 0.1}], "method": "equal mass"},
        "subgroups": {"sex": {"F": {"auroc": entry, "flagged": True, "patients": 12}}},
        "delong": {"auroc": {"value": None, "low": None, "high": None}},
        "images": 9,
    }
    found = {"temperature": 1.25, "thresholds": {"mass (any)": 0.3}, "test": test, "external": {"auroc": entry}}
    return replace(results.recipes[0], metrics=found)


def test_every_number_that_any_module_adds_has_a_name_that_stays(tracked: Picture) -> None:
    numbers = _nested(_results(tracked)).numbers()
    assert {name: value for name, value in numbers.items() if ".per_class." not in name} == {
        "temperature": 1.25,
        "thresholds.mass _any_": 0.3,
        "test.auroc": 0.75,
        "test.auroc.low": 0.5,
        "test.auroc.high": 1.0,
        "test.calibration.ece": 0.5,
        "test.calibration.ece.low": 0.25,
        "test.subgroups.sex.F.auroc": 0.5,
        "test.subgroups.sex.F.auroc.low": 0.25,
        "test.subgroups.sex.F.patients": 12,
        "test.images": 9,
        "external.auroc": 0.5,
        "external.auroc.low": 0.25,
    }
    assert len([name for name in numbers if ".per_class." in name]) == 2 * len(ODD)
    assert numbers["test.per_class.a_b_.auroc"] == ODD.index("a(b)")
    assert numbers["test.per_class.a_b_.auroc_2"] == ODD.index("a[b]")
    assert numbers["test.per_class.value.auroc"] == ODD.index("value")


def test_mlflow_takes_the_numbers_of_a_class_whatever_it_is_called(
    tracked: Picture, ours: tuple[MlflowClient, str]
) -> None:
    client, experiment = ours
    numbers = _nested(_results(tracked)).numbers()
    with runs.run(client, experiment, "odd", {}) as identifier:
        runs.record(client, identifier, metrics=runs.metrics(numbers))
    assert client.get_run(identifier).data.metrics == numbers


def _results(tracked: Picture) -> Results:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tracked.path)
        return results.read(workspace.locks().chain)


def test_the_parent_has_the_numbers_of_the_best_and_what_each_stage_cost(tracked: Picture) -> None:
    logged, best = tracked.parent.data.metrics, tracked.children[BEST].data.metrics
    assert logged["val.auroc"] == best["val.auroc"]
    assert logged["test.auroc.low"] == best["test.auroc.low"]
    assert {name.removeprefix("seconds/") for name in logged if name.startswith("seconds/")} == {
        "check",
        "phantom",
        "account",
        "split",
        "compare",
        *(f"{stage}.{batch}" for stage in ("ingest", "preprocess") for batch in ("site-a", "site-b")),
        *(
            f"{stage}.{recipe}"
            for stage in ("finetune", "evaluate", "card")
            for recipe in ("linear_probe", "fine_tune")
        ),
    }
    assert logged["peak_mib/compare"] > 0
    assert logged["test.looks"] == 2
    assert logged["shortcuts.warnings"] == 1


@pytest.mark.parametrize("curve", ["train_loss", "val_loss", "val_auroc", "lr"])
def test_a_training_curve_is_a_step_per_epoch(tracked: Picture, curve: str) -> None:
    history = tracked.client.get_metric_history(tracked.children["fine_tune"].info.run_id, f"curves/{curve}")
    kept = pd.read_csv(tracked.path / "models/fine_tune/history.csv")
    assert [point.step for point in history] == [1, 2, 3]
    assert [point.value for point in history] == kept[curve].tolist()


def test_a_recipe_without_epochs_has_no_curve(tracked: Picture) -> None:
    assert not [name for name in tracked.children["linear_probe"].data.metrics if name.startswith("curves/")]


def test_train_val_and_test_are_inputs_of_every_run(tracked: Picture) -> None:
    frame = pd.read_parquet(tracked.path / "data/cohort.parquet")
    md5 = _lock(tracked.path)["split"]["outs"][0]["md5"]
    seen = []
    for found in (tracked.parent, *tracked.children.values()):
        inputs = {one.dataset.name: one for one in found.inputs.dataset_inputs}
        assert set(inputs) == {"train", "val", "test"}
        for side, one in inputs.items():
            rows = frame[frame["subset"] == side]
            profile, source = json.loads(one.dataset.profile), json.loads(one.dataset.source)
            assert [(tag.key, tag.value) for tag in one.tags] == [("mlflow.data.context", side)]
            assert profile["images"] == len(rows)
            assert profile["patients"] == rows["patient"].nunique()
            assert profile["images_by_class"]["normal"] == (rows["label:normal"] == 1).sum()
            assert source == {"path": "data/cohort.parquet", "md5": md5, "subset": side}
        seen.append({side: one.dataset.digest for side, one in inputs.items()})
    assert len(set(seen[0].values())) == 3
    assert seen[0] == seen[1] == seen[2]


def test_the_artifacts_are_complete_and_hold_no_row_per_patient(tracked: Picture) -> None:
    assert tracked.files(tracked.parent) == {
        "comparison.html",
        "comparison.json",
        "intake.json",
        "lineage.html",
        "params.yaml",
        "shortcuts.json",
        "lineage/dvc.lock",
        "lineage/suppliers/phantom/dvc.lock",
        "lineage/lineage.json",
        "environment/packages.json",
    }
    for child in tracked.children.values():
        files = tracked.files(child)
        assert {"report.html", "evaluation.json", "training/history.csv", "training/training.json"} <= files
        name = child.info.run_name
        assert {f"card/{name}.md", f"card/{name}.json"} <= files
        assert not [path for path in files if path.endswith(".parquet")]


def test_the_lock_files_are_kept_whole(tracked: Picture) -> None:
    for lock in ("dvc.lock", "suppliers/phantom/dvc.lock"):
        text = (tracked.path / lock).read_text()
        assert tracked.read(f"lineage/{lock}") == text
        assert tracked.parent.data.tags[f"chain.sha256.{lock}"] == hashlib.sha256(text.encode()).hexdigest()
    assert tracked.read("comparison.html") == (tracked.path / "reports/comparison.html").read_text()


def test_the_packages_are_those_installed(tracked: Picture) -> None:
    kept = json.loads(tracked.read("environment/packages.json"))
    assert kept["python"] == ".".join(map(str, sys.version_info[:3]))
    assert kept["packages"]["numpy"] == np.__version__


def test_lineage_json_holds_every_stage_and_no_broken_link(tracked: Picture) -> None:
    kept = json.loads(tracked.read("lineage/lineage.json"))
    assert kept["sha256"] == tracked.parent.data.tags["chain.sha256"]
    labels = {stage["name"].rpartition(":")[2] for stage in kept["stages"]}
    assert labels == set(_lock(tracked.path))
    assert {link["join"] for link in kept["links"]} == {"EXACT", "ASSEMBLED", "SOURCE"}


@pytest.mark.parametrize("stage", ["phantom", "ingest@site-b", "split", "finetune@linear_probe", "compare"])
def test_every_hash_of_a_stage_is_a_tag(tracked: Picture, stage: str) -> None:
    tags, entry = tracked.parent.data.tags, _lock(tracked.path)[stage]
    assert entry["outs"]
    for out in entry["outs"]:
        assert tags[f"dvc.out.{out['path']}"] == out["md5"]
    for dep in entry.get("deps", []):
        assert tags[f"dvc.dep.{dep['path']}"] == dep["md5"]


def test_no_hash_of_the_lock_is_missing_among_the_tags_and_none_is_added(tracked: Picture) -> None:
    entries = _lock(tracked.path).values()
    expected = {f"dvc.out.{out['path']}": out["md5"] for entry in entries for out in entry["outs"]}
    expected |= {f"dvc.dep.{dep['path']}": dep["md5"] for entry in entries for dep in entry.get("deps", [])}
    assert {key: value for key, value in tracked.parent.data.tags.items() if key.startswith("dvc.")} == expected


def test_the_commit_is_a_tag_and_what_the_pipeline_wrote_makes_it_not_dirty(tracked: Picture) -> None:
    tags = tracked.parent.data.tags
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=tracked.path, text=True).strip()
    assert tags["code.commit"] == tags["mlflow.source.git.commit"] == head
    assert tags["code.branch"] == "main"
    assert tags["code.dirty"] == "false"


def test_the_best_by_validation_is_registered_and_not_the_best_on_test(tracked: Picture) -> None:
    metrics = {name: child.data.metrics for name, child in tracked.children.items()}
    assert metrics[BEST]["val.auroc"] > metrics[BEST_ON_TEST]["val.auroc"]
    assert metrics[BEST]["test.auroc"] < metrics[BEST_ON_TEST]["test.auroc"]
    (version,) = tracked.versions
    assert version.run_id == tracked.parent.info.run_id
    assert version.tags["best.recipe"] == BEST
    kept = Path(tracked.client.download_artifacts(tracked.parent.info.run_id, "comparison.json"))
    assert json.loads(kept.read_text())["best"] == BEST
    for marked in (tracked.parent, tracked.children[BEST]):
        assert tracked.client.get_run(marked.info.run_id).data.tags["model.version"] == "radrepro/1"
    assert "model.version" not in tracked.children[BEST_ON_TEST].data.tags


def test_the_registered_model_is_the_very_file_that_finetune_wrote(tracked: Picture) -> None:
    logged = tracked.client.get_logged_model(tracked.versions[0].source.removeprefix("models:/"))
    weights = (tracked.path / f"models/{BEST}/model.safetensors").read_bytes()
    kept = Path(logged.artifact_location.removeprefix("file://"))
    assert (kept / "model.safetensors").read_bytes() == weights
    assert (kept / "MLmodel").exists()
    assert (kept / f"card/{BEST}.md").read_text() == f"# Model card: {BEST}\n"
    assert logged.source_run_id == tracked.children[BEST].info.run_id
    assert tracked.versions[0].tags["model.sha256"] == hashlib.sha256(weights).hexdigest()
    assert {metric.key: metric.value for metric in logged.metrics}["val.auroc"] == pytest.approx(0.87)


def test_the_registered_model_is_packed_with_what_made_it(tracked: Picture) -> None:
    logged = tracked.client.get_logged_model(tracked.versions[0].source.removeprefix("models:/"))
    kept = Path(logged.artifact_location.removeprefix("file://"))
    spec = Spec.read(kept)
    assert spec.recipe == BEST
    assert spec.chain_sha256 == tracked.versions[0].tags["chain.sha256"]
    assert spec.model_sha256 == tracked.versions[0].tags["model.sha256"]
    assert spec.preprocess.size == 32
    train = pd.read_parquet(tracked.path / "data/cohort.parquet").query("subset == 'train'")
    assert sum(kind.images for kind in spec.domain) == len(train)
    assert logged.tags["packed.sha256"] == packing.digest(kept)


def test_the_version_shows_its_own_chain_and_nothing_of_other_recipes(tracked: Picture) -> None:
    (version,) = tracked.versions
    entries = _lock(tracked.path)
    others = ("account", "compare", "card@")
    own = [name for name in entries if not name.startswith(others) and not name.endswith(f"@{BEST_ON_TEST}")]
    expected = {f"dvc.out.{out['path']}": out["md5"] for name in own for out in entries[name]["outs"]}
    expected |= {f"dvc.dep.{dep['path']}": dep["md5"] for name in own for dep in entries[name].get("deps", [])}
    assert {key: value for key, value in version.tags.items() if key.startswith("dvc.")} == expected
    assert f"**{BEST}** is the best recipe by validation" in version.description
    assert version.tags["chain.sha256"] in version.description
    for name in own:
        assert f"|{name}" in version.description
        assert all(out["md5"][:8] in version.description for out in entries[name]["outs"])
    assert f"@{BEST_ON_TEST}" not in version.description


def test_the_runs_page_compares_the_recipes_and_shows_the_whole_chain(tracked: Picture) -> None:
    note = tracked.parent.data.tags["mlflow.note.content"]
    assert "|**fine_tune**" in note
    assert "|linear_probe" in note
    assert tracked.parent.data.tags["chain.sha256"] in note
    assert all(f"|{name}" in note for name in _lock(tracked.path))
    assert len(note) <= describe.RUN_LIMIT


def test_the_page_tells_what_became_of_every_file_that_came_in(tracked: Picture) -> None:
    said = "Of 40 files: 34 used (34 images), 0 duplicate, 6 quarantined: 2 DECODE_FAILED, 2 NOT_DICOM, 2 TRUNCATED.\n"
    assert said in tracked.parent.data.tags["mlflow.note.content"]
    assert said in tracked.versions[0].description
    assert tracked.read("intake.json") == (tracked.path / "reports/intake.json").read_text()


def test_what_dvc_keeps_of_it_has_no_time_and_no_id(tracked: Picture) -> None:
    mark = json.loads(tracked.mark)
    assert set(mark) == {"best", "chain_sha256", "experiment", "model", "model_sha256"}
    assert mark["chain_sha256"] == tracked.parent.data.tags["chain.sha256"]
    assert mark["best"] == BEST


def test_every_artifact_has_its_hash_among_the_tags(tracked: Picture) -> None:
    for found in (tracked.parent, *tracked.children.values()):
        told = {
            key.removeprefix("artifact.sha256."): value for key, value in found.data.tags.items() if "artifact" in key
        }
        held = {
            path: hashlib.sha256(
                Path(tracked.client.download_artifacts(found.info.run_id, path)).read_bytes()
            ).hexdigest()
            for path in tracked.files(found)
        }
        assert told == held
    logged = tracked.client.get_logged_model(tracked.versions[0].source.removeprefix("models:/"))
    folder = Path(logged.artifact_location.removeprefix("file://"))
    held = {
        f"file.sha256.{path.relative_to(folder)}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert {key: value for key, value in logged.tags.items() if key.startswith("file.")} == held


def test_the_commit_that_holds_the_lock_is_named(tracked: Picture) -> None:
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=tracked.path, text=True).strip()
    assert tracked.versions[0].tags["code.sealed"] == tracked.parent.data.tags["code.sealed"] == head


def test_the_commit_that_sealed_a_version_later_is_named_at_the_next_tracking(project: Path) -> None:
    track.main()
    assert "code.sealed" not in _picture(project).versions[0].tags, "the lock is not committed yet"
    run("git", "add", "--all")
    run("git", "commit", "--quiet", "--message", "results")
    Path("letter.txt").write_text("one more commit\n")
    run("git", "add", "--all")
    run("git", "commit", "--quiet", "--message", "another")
    track.main()
    (version,) = _picture(project).versions
    assert version.tags["code.sealed"] == run("git", "rev-parse", "HEAD~1").strip()


def test_the_graph_shows_every_stage_and_hash_and_needs_nothing_else(tracked: Picture) -> None:
    page = tracked.read("lineage.html")
    entries = _lock(tracked.path)
    for name, entry in entries.items():
        assert f'data-stage="{name}"' in page
        assert all(file["md5"] in page for file in (*entry["outs"], *entry.get("deps", [])))
    assert page.count('class="box"') + page.count('class="box other"') == len(entries)
    other = re.findall(r'class="box other" data-name="([^"]+)"', page)
    cards = {"card@fine_tune", "card@linear_probe"}
    assert set(other) == {f"finetune@{BEST_ON_TEST}", f"evaluate@{BEST_ON_TEST}", "account", "compare"} | cards
    assert not re.search(r"(src|href)=|https?://|@import|url\(", page)


def test_the_pipelines_chain_and_the_models_are_called_by_their_names(tracked: Picture) -> None:
    run, version = tracked.parent.data.tags, tracked.versions[0]
    assert run["chain.sha256"] != version.tags["chain.sha256"]
    pipelines, models = (
        f"Pipeline's chain {{}}{run['chain.sha256']}",
        f"Model's chain {{}}{version.tags['chain.sha256']}",
    )
    assert pipelines.format("`") in run["mlflow.note.content"]
    assert models.format("`") in version.description
    assert pipelines.format("<code>") in tracked.read("lineage.html")
    assert models.format("<code>") in tracked.read("lineage.html")


# --- once more


def test_the_same_result_tracked_twice_is_one_version(tracked: Picture, again: Picture) -> None:
    assert again.parent.info.run_id != tracked.parent.info.run_id
    assert [version.version for version in again.versions] == [version.version for version in tracked.versions]
    assert again.parent.data.tags["model.version"] == "radrepro/1"
    assert again.mark == tracked.mark


def test_a_changed_tree_is_dirty_and_its_patch_gives_the_code_that_ran(
    tracked: Picture, again: Picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = again.parent.data.tags
    assert tags["code.dirty"] == "true"
    assert set(tags["code.changed"].split(", ")) == {"params.yaml", "stages/new.py", "1 other files"}
    assert tags["chain.sha256"] == tracked.parent.data.tags["chain.sha256"], "a comment is no other result"
    assert "git/changes.patch" not in tracked.files(tracked.parent)
    patch = again.read("git/changes.patch")
    assert "Doe^Jane" not in patch, "only code and configuration enter it"

    run("git", "clone", "--quiet", str(again.path), str(tmp_path / "clone"))
    monkeypatch.chdir(tmp_path / "clone")
    run("git", "checkout", "--quiet", tags["code.commit"])
    Path("changes.patch").write_text(patch)
    run("git", "apply", "changes.patch")
    for path in ("params.yaml", "stages/new.py"):
        assert Path(path).read_text() == (again.path / path).read_text()


def test_an_empty_mlflow_gets_the_complete_picture_again(
    tracked: Picture, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On another machine: what git has, what DVC's cache restores, and a new database."""
    path = tmp_path / "elsewhere"
    run("git", "clone", "--quiet", str(tracked.path), str(path))
    shutil.copytree(tracked.path / ".dvc/cache", path / ".dvc/cache")
    shutil.copy(built / "mlflow.db", path / "mlflow.db")
    _enter(path, monkeypatch)
    run("dvc", "checkout", "--allow-missing")
    track.main()

    restored = _picture(path)
    assert restored.mark == tracked.mark
    assert _told(restored.parent) == _told(tracked.parent)
    for name, child in tracked.children.items():
        assert _told(restored.children[name]) == _told(child)
        assert restored.files(restored.children[name]) == tracked.files(child)
    assert restored.files(restored.parent) == tracked.files(tracked.parent)
    assert restored.read("lineage/dvc.lock") == tracked.read("lineage/dvc.lock")
    (one,), (other,) = restored.versions, tracked.versions
    assert one.tags == other.tags
    assert one.description == other.description


def _told(of: Run) -> tuple[dict, ...]:
    """Tags, parameters, metrics and data, without what this machine alone knows: the process, and what stages cost.

    A run's note tells the cost, so its hash is the machine's too.
    """
    local = ("mlflow.parentRunId", "radrepro.process", "mlflow.note", "description.sha256", "mlflow.loggedModels")
    tags = {key: value for key, value in of.data.tags.items() if not key.startswith(local)}
    costs = ("seconds/", "peak_mib/", "train_seconds", "train_peak_mib")
    metrics = {key: value for key, value in of.data.metrics.items() if not key.startswith(costs)}
    inputs = {one.dataset.name: (one.dataset.digest, one.dataset.source) for one in of.inputs.dataset_inputs}
    return tags, of.data.params, metrics, inputs


# --- what is refused


@pytest.mark.parametrize(
    "path",
    [
        "models/fine_tune/model.safetensors",
        "models/linear_probe/history.csv",
        "reports/recipes/linear_probe/evaluation.json",
        "reports/cards/linear_probe.md",
        "reports/comparison.html",
        "reports/intake.json",
        "data/cohort.parquet",
    ],
)
def test_a_file_that_is_not_what_the_lock_records_is_refused(project: Path, path: str) -> None:
    Path(path).chmod(0o644)
    Path(path).write_bytes(Path(path).read_bytes() + b"\n")
    with pytest.raises(UserError, match=f"{path} is not what dvc.lock records: run 'dvc repro'"):
        track.main()
    assert not _all_runs(_client(project)), "nothing was told"
    Path(path).unlink()
    with pytest.raises(UserError, match=f"{path} is not here"):
        track.main()


def test_a_recipe_that_no_stage_has_run_is_refused(project: Path) -> None:
    yaml = YAML()
    given = yaml.load(params.PATH)
    given["recipes"]["third"] = dict(given["recipes"]["fine_tune"])
    yaml.dump(given, params.PATH)
    with pytest.raises(UserError, match=r"does not say what made models/third/model.safetensors: run 'dvc repro'"):
        track.main()


def test_a_server_that_does_not_answer_is_one_line(project: Path) -> None:
    """MLflow's own client would try for minutes."""
    env = {**os.environ, "MLFLOW_TRACKING_URI": "http://someone:secret@127.0.0.1:9"}
    command = [sys.executable, "-m", "pipeline.track"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"track: error: MLflow at http://127.0.0.1:9 {store.SILENT}: start it, or correct")
    assert "secret" not in done.stdout + done.stderr
    assert not Path("reports/tracked.json").exists()


def test_a_database_that_was_made_in_another_folder_is_refused(tracked: Picture, project: Path) -> None:
    shutil.copy(tracked.path / "mlflow.db", "mlflow.db")
    with pytest.raises(UserError, match="made in another folder"):
        track.main()


def test_a_deleted_experiment_is_refused(project: Path) -> None:
    with store.connected() as client:
        client.delete_experiment(store.experiment(client, "radrepro"))
    with pytest.raises(UserError, match="'radrepro' is deleted: restore it"):
        track.main()


# --- runs


@pytest.fixture
def ours(project: Path) -> tuple[MlflowClient, str]:
    """A client and an experiment of ours."""
    with store.connected() as client:
        return client, store.experiment(client, "radrepro")


def _ended_process() -> str:
    """The mark of a process that lived and was killed, as `track` leaves it."""
    child = subprocess.Popen(["sleep", "60"])
    mark = f"{os.uname().nodename}/{child.pid}/{psutil.Process(child.pid).create_time():.0f}"
    child.kill()
    child.wait()
    return mark


def _number_of_another() -> str:
    """This process's number, when another process had it."""
    return f"{os.uname().nodename}/{os.getpid()}/1"


def _another_machine() -> str:
    return f"machine-of-before/{os.getpid()}/1"


@pytest.mark.parametrize("mark", [_ended_process, _number_of_another, _another_machine])
def test_a_run_that_a_dead_process_left_running_becomes_killed(
    ours: tuple[MlflowClient, str], mark: Callable[[], str]
) -> None:
    client, experiment = ours
    left = client.create_run(experiment, tags={"radrepro.process": mark()}).info.run_id
    of_a_person = client.create_run(experiment).info.run_id
    with runs.run(client, experiment, "alive", {}) as alive:
        assert runs.reconcile(client, experiment) == 1
        assert client.get_run(left).info.status == "KILLED"
        assert client.get_run(alive).info.status == "RUNNING"
    assert client.get_run(of_a_person).info.status == "RUNNING"
    assert runs.reconcile(client, experiment) == 0


def test_on_a_shared_server_the_runs_of_other_machines_are_left_alone(
    ours: tuple[MlflowClient, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, experiment = ours
    theirs = client.create_run(experiment, tags={"radrepro.process": _another_machine()}).info.run_id
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org")
    assert runs.reconcile(client, experiment) == 0
    assert client.get_run(theirs).info.status == "RUNNING"


@pytest.mark.parametrize(("raised", "status"), [(UserError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_a_run_is_closed_whatever_happens(
    ours: tuple[MlflowClient, str], raised: type[BaseException], status: str
) -> None:
    client, experiment = ours
    with pytest.raises(raised), runs.run(client, experiment, "one", {"a": "b"}) as opened:
        raise raised
    assert client.get_run(opened).info.status == status
    assert client.get_run(opened).data.tags["a"] == "b"


def test_more_than_one_request_holds_is_logged_whole(ours: tuple[MlflowClient, str]) -> None:
    client, experiment = ours
    given = {f"p{number}": str(number) for number in range(150)}
    numbers = {f"m{number}": float(number) for number in range(1100)}
    with runs.run(client, experiment, "one", {f"t{number}": "x" for number in range(120)}) as opened:
        runs.record(client, opened, params=given, metrics=runs.metrics(numbers))
    logged = client.get_run(opened).data
    assert logged.params == given
    assert logged.metrics == numbers
    assert len([key for key in logged.tags if key.startswith("t")]) == 120


# --- what it says of data and of chains


def test_the_hash_of_a_dataset_is_of_its_rows_and_not_of_their_order(project: Path) -> None:
    cohort = Cohort.read()
    shuffled = replace(cohort, frame=cohort.frame.sample(frac=1, random_state=1))
    other = replace(cohort, frame=cohort.frame.assign(**{"label:normal": 1.0}))
    assert datasets.manifest(shuffled) == datasets.manifest(cohort)
    assert datasets.manifest(other) != datasets.manifest(cohort)


@pytest.mark.parametrize("batches", [1, 20, 400])
def test_the_chain_is_told_in_the_room_that_mlflow_gives(project: Path, batches: int) -> None:
    """The first with every hash, then with fewer, then folded: never cut in the middle."""
    ingest = next(stage for stage in workspace.locks().chain.stages if stage.label == "ingest@site-a")
    stages = [replace(ingest, name=f"ingest@site-{number}", inputs=()) for number in range(batches)]
    told = describe._chain(lineage.chain(stages), 3000)
    assert len(told) <= 3000
    assert told.splitlines()[-1].endswith("|")
    assert (ingest.outputs[0].md5[:8] in told) == (batches == 1)
    assert ("ingest x 400" in told) == (batches == 400)


def test_where_room_is_short_the_plots_are_told_together_before_any_other_hash_or_size(project: Path) -> None:
    evaluate = next(stage for stage in workspace.locks().chain.stages if stage.label == f"evaluate@{BEST}")
    plots = tuple(File(f"reports/plots/{name}.csv", f"{name}" * 32, 1000) for name in "abc")
    others = (File("reports/plots.csv", "d" * 32, 2000), File("reports/report.html", "e" * 32, 3000))
    chain = lineage.chain([replace(evaluate, inputs=(), outputs=(*plots, *others))], lambda _: None)
    whole = describe._chain(chain, 3000)
    assert all(f"reports/plots/{name}.csv `{name * 8}` 1.0 kB" in whole for name in "abc")
    short = describe._chain(chain, len(whole) - 1)
    assert "reports/plots.csv `dddddddd` 2.0 kB<br>reports/report.html `eeeeeeee` 3.0 kB" in short
    assert "<br>reports/plots/ (3 files) 3.0 kB" in short
    assert "aaaaaaaa" not in short


def test_names_that_mlflow_refuses_are_mended_and_long_values_cut() -> None:
    told = describe.flat({"a": {"b{c}": "x" * 9000, "empty": {}}})
    assert told["a.empty"] == "{}"
    assert len(told["a.b_c_"]) <= 6000
    assert "9000 characters" in told["a.b_c_"]


def test_an_experiment_in_a_copy_of_the_project_is_told_to_the_originals_mlflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / ".dvc/tmp/exps/temp"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert store.uri() == f"sqlite:///{tmp_path}/mlflow.db"


def test_the_last_run_is_known_to_the_other_commands(tracked: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tracked.path)
    last = summary.last_run()
    assert last["store"] == "mlflow.db"
    assert last["version"] == "radrepro/1"
    assert tracked.client.get_run(last["run"]).data.tags["best.recipe"] == BEST
    assert f"/runs/{last['run']}" in last["path"]
