import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from stages.check import presence
from tests.conftest import ROOT

OUTPUT = Path("data/check.txt")
ENTRY = {"method": "simclr", "weights": "starter", "epochs": 2, "lr": 0.1}


@pytest.fixture
def project(workspace: Path) -> Path:
    """A clone as it comes: params.yaml and the demonstration's key. The phantom is not drawn yet."""
    for name in ("params.yaml", "card.yaml", "stages/phantom/demo.key"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, name)
    return workspace


def check() -> subprocess.CompletedProcess[str]:
    """As DVC runs it."""
    command = [sys.executable, "-m", "stages.check"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def edit(change: Callable[[dict[str, Any]], object]) -> None:
    yaml, path = YAML(), Path("params.yaml")
    content = yaml.load(path)
    change(content)
    yaml.dump(content, path)


def refused() -> str:
    """What the user is told: one line, and nothing is written."""
    done = check()
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("check: error: ")
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert not OUTPUT.exists()
    return done.stderr


def own_data() -> None:
    """A project with one batch of its own."""
    Path("data/raw/mine").mkdir(parents=True)
    Path("data/raw/mine/IM1").touch()
    Path("data/labels.csv").touch()
    Path("secret.key").touch()
    edit(lambda p: p.update(batches=["mine"]))
    edit(lambda p: p["split"].update(labels="data/labels.csv"))
    edit(lambda p: p["ingest"].update(key_file="secret.key"))


def test_params_yaml_as_shipped_is_sound_and_the_output_never_changes(project: Path) -> None:
    done = check()
    assert (done.returncode, done.stderr) == (0, "")
    first = OUTPUT.read_bytes()
    own_data()
    edit(lambda p: p.update(seed=2))
    done = check()
    assert (done.returncode, done.stderr) == (0, "")
    assert OUTPUT.read_bytes() == first, "else an edit of one option would rebuild everything"


def test_recipes_features_and_other_entries_may_start_from_self_supervised_weights(project: Path) -> None:
    edit(
        lambda p: p.update(
            self_supervised={"more": ENTRY | {"weights": "less"}, "less": ENTRY | {"method": "byol", "ema": 0.9}},
            features={"weights": "less"},
        )
    )
    edit(lambda p: p["recipes"]["fine_tune"].update(weights="more"))
    done = check()
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: p["preprocess"].update(sise=64), ["preprocess.sise", "no such parameter", "correct its name"]),
        (lambda p: p.pop("evaluate"), ["evaluate: is missing", "add it"]),
        (lambda p: p.update(recipe={}), ["recipe: no such parameter"]),
        (lambda p: p["preprocess"].update(size=8), ["preprocess.size", "16", "(found 8)"]),
        (lambda p: p["preprocess"].update(size="96"), ["preprocess.size", "integer", "(found '96')"]),
        (lambda p: p["split"]["fractions"].update(test=0.5), ["split.fractions", "add up to 1", "1.25"]),
        (lambda p: p["split"].update(classes=["a", "b"]), ["split", "three classes or more", "task: binary"]),
        (lambda p: p["split"].update(task="binary"), ["split", "two classes", "names 3"]),
        (lambda p: p["split"].update(classes=["a", "b", "a"]), ["split", "a name stands twice"]),
        (
            lambda p: p["recipes"]["scratch"].update(strategy="ful"),
            ["recipes.scratch", "'linear_probe', 'full'", "(found 'ful')"],
        ),
        (lambda p: p["recipes"]["scratch"].update(epoch=3), ["recipes.scratch.epoch", "no such parameter"]),
        (
            lambda p: p["recipes"]["scratch"].update(weights="imagenet"),
            ["recipes.scratch.weights", "'imagenet'", "(starter, random)", "add it there"],
        ),
        (lambda p: p["features"].update(weights="imagenet"), ["features.weights", "'imagenet'"]),
        (lambda p: p.pop("self_supervised"), ["self_supervised: is missing"]),
        (
            lambda p: p.update(self_supervised={"more": ENTRY | {"weights": "imagenet"}}),
            ["self_supervised.more.weights", "'imagenet'", "(starter, random, more)"],
        ),
        (
            lambda p: p.update(self_supervised={"starter": ENTRY}),
            ["self_supervised.starter: weights has this name too", "choose another"],
        ),
        (
            lambda p: p.update(self_supervised={"a": ENTRY | {"weights": "b"}, "b": ENTRY | {"weights": "a"}}),
            ["a from b from a", "let one start from weights"],
        ),
        (
            lambda p: p.update(self_supervised={"a": ENTRY | {"weights": "b"}, "b": ENTRY | {"weights": "b"}}),
            ["b from b:", "let one start from weights"],
        ),
        (
            lambda p: p.update(self_supervised={"more": ENTRY | {"method": "moco"}}),
            ["self_supervised.more: 'method' is one of 'simclr', 'byol' (found 'moco')"],
        ),
        (
            lambda p: p.update(self_supervised={"more": ENTRY | {"ema": 0.99}}),
            ["self_supervised.more.ema: no such parameter"],
        ),
        (
            lambda p: p.update(self_supervised={"more": ENTRY | {"temperature": 0.0}}),
            ["self_supervised.more.temperature", "greater than 0"],
        ),
        (
            lambda p: p["recipes"]["scratch"].update(weights="starter"),
            ["recipes.scratch.weights", "source random", "choose strategy full"],
        ),
        (
            lambda p: p["recipes"].update(
                shifted=p["recipes"]["fine_tune"]
                | {"strategy": "adabn", "target": {"column": "batch", "value": "site-c"}}
            ),
            ["recipes.shifted.target.value: 'site-c' is not one of batches (site-a, site-b)"],
        ),
        (
            lambda p: p["split"].update(external={"batches": ["site-c"]}),
            ["split.external.batches: 'site-c' is not one of batches (site-a, site-b)"],
        ),
        (
            lambda p: p["split"].update(external={"batches": ["site-a", "site-b"]}),
            ["split.external.batches: holds out every batch"],
        ),
        (lambda p: p["split"].update(external={"batch": ["site-b"]}), ["split.external.batch: no such parameter"]),
        (
            lambda p: (
                p["split"].update(external={"batches": ["site-b"]}),
                p["recipes"].update(
                    shifted=p["recipes"]["fine_tune"]
                    | {"strategy": "adabn", "target": {"column": "batch", "value": "site-b"}}
                ),
            ),
            ["recipes.shifted.target.value: 'site-b' is held out whole", "choose another target"],
        ),
        (
            lambda p: p["weights"]["random"].update(architecture="resnet_18"),
            ["weights.random.architecture", "resnet18", "(found 'resnet_18')"],
        ),
        (lambda p: p.update(batches=["site-a", "site-b", "site-a"]), ["batches", "twice"]),
        (lambda p: p.update(batches=["Site A"]), ["batches.1", "lower-case letters", "(found 'Site A')"]),
        (lambda p: p.update(batches=["../raw"]), ["batches.1", "lower-case letters"]),
        (lambda p: p.update(batches=[]), ["batches", "at least 1"]),
        (lambda p: p["recipes"].update({"My recipe": p["recipes"]["scratch"]}), ["recipes", "lower-case letters"]),
    ],
)
def test_a_fault_in_params_yaml_is_one_line_that_names_it(project: Path, change: Any, said: list[str]) -> None:
    edit(change)
    message = refused()
    assert "params.yaml: " in message
    for words in said:
        assert words in message


def test_several_faults_are_named_together(project: Path) -> None:
    edit(lambda p: (p.update(seed=-1), p["split"].update(key="name"), p["track"].update(model="a/b")))
    message = refused()
    for place in ("seed", "split.key", "track.model"):
        assert place in message


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda: shutil.rmtree("data/raw/mine"),
            ["batch 'mine'", "data/raw/mine does not exist", "radrepro add-batch"],
        ),
        (lambda: Path("data/raw/mine/IM1").unlink(), ["batch 'mine'", "data/raw/mine is empty", "put its DICOM there"]),
        (lambda: Path("data/labels.csv").unlink(), ["the table of labels", "data/labels.csv", "correct split.labels"]),
        (lambda: Path("secret.key").unlink(), ["the key file", "secret.key", "copy it from where you keep it"]),
        (lambda: Path("params.yaml").unlink(), ["params.yaml is not here", "from the top of the repository"]),
        (lambda: Path("params.yaml").write_text("seed: [1"), ["params.yaml is not valid YAML"]),
    ],
)
def test_what_params_yaml_names_and_is_not_there_is_named_with_what_to_do(
    project: Path, spoil: Callable[[], object], said: list[str]
) -> None:
    own_data()
    spoil()
    message = refused()
    for words in said:
        assert words in message


@pytest.mark.parametrize("name", ["data/raw/mine", "data/labels.csv"])
def test_what_only_dvc_has_is_to_be_pulled(project: Path, name: str) -> None:
    own_data()
    Path(name).rename("elsewhere")
    Path(f"{name}.dvc").touch()
    assert f"run 'dvc pull {name}.dvc'" in refused()


@pytest.mark.parametrize(
    "left",
    [
        "data/index/gone.parquet",
        "data/quarantine/gone.csv",
        "data/restricted/gone.csv",
        "data/images/gone/",
        "data/features/gone.npy",
        "models/gone/",
        "reports/recipes/gone/",
        "reports/pretrain/gone/",
        "models/scratch.2/",  # another recipe than scratch
        "folds/fine_tune/",  # a recipe, but none that is cross-validated
        "folds/scratch/4/",  # there were four folds once
        "reports/folds/gone/",
        "data/images/site-a.old/",
    ],
)
def test_results_of_what_params_yaml_no_longer_names_are_found(project: Path, left: str) -> None:
    Path(left).mkdir(parents=True) if left.endswith("/") else Path(left).parent.mkdir(parents=True)
    Path(left, "file").touch() if left.endswith("/") else Path(left).touch()
    Path("reports/pretrain/adapted").mkdir(parents=True, exist_ok=True)
    for kept in ("index/site-a.parquet", "images/site-a/rows.parquet", "index/.gitignore"):
        Path("data", kept).parent.mkdir(parents=True, exist_ok=True)
        Path("data", kept).touch()
    for kept in ("folds/scratch/3/model.safetensors", "folds/scratch/.gitignore", "reports/folds/.gitkeep"):
        Path(kept).parent.mkdir(parents=True, exist_ok=True)
        Path(kept).touch()
    recipes = ["linear_probe", "fine_tune", "scratch"]
    found = presence.leftovers(["site-a", "site-b"], recipes, ["adapted"], ["scratch"], [1, 2, 3])
    assert found == [Path(left)]


def test_leftovers_are_refused_and_tidy_is_named(project: Path) -> None:
    for number in range(5):
        Path(f"models/old{number}").mkdir(parents=True)
    Path("models/scratch").mkdir()
    message = refused()
    assert "models/old0, models/old1, models/old2 and others" in message
    assert "run 'radrepro tidy'" in message
    shutil.rmtree("models")
    Path("models/scratch").mkdir(parents=True)
    assert check().returncode == 0


def test_a_slip_in_the_authors_words_is_refused_before_any_work(project: Path) -> None:
    Path("card.yaml").write_text("fundings: nobody\n", encoding="utf-8")
    assert "card.yaml: 'fundings' is nothing that a card asks: is it 'funding'?" in refused()
    Path("card.yaml").unlink()
    assert "card.yaml (card.answers) is not here" in refused()


def test_a_batch_whose_name_has_a_dot_is_no_leftover(project: Path) -> None:
    for name in ("data/images/mine.v2", "models/full.2", "reports/cards"):
        Path(name).mkdir(parents=True)
    Path("data/index").mkdir()
    Path("data/index/mine.v2.parquet").touch()
    Path("reports/cards/full.2.json").touch()
    assert presence.leftovers(["mine.v2"], ["full.2"], []) == []


def test_recipes_can_be_cross_validated(project: Path) -> None:
    own_data()
    edit(lambda p: p.update(cross_validation={"recipes": ["scratch", "linear_probe"], "folds": [1, 2, 3]}))
    assert check().returncode == 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"recipes": ["scratsh"]}, "'scratsh' is not one of recipes (linear_probe, fine_tune, scratch)"),
        ({"recipes": ["scratch", "scratch"]}, "a name stands twice"),
        ({"recipes": ["fine_tune"]}, "'fine_tune' starts from 'more', which self_supervised trained on"),
        ({"folds": [1, 2]}, "cross_validation.folds"),
        ({"folds": 5}, "cross_validation.folds"),
        ({"folds": [0, 1, 2]}, "number them from 1, as in [1, 2, 3]"),
        ({"folds": [1, 2, 2]}, "number them from 1, as in [1, 2, 3]"),
        ({"recipe": ["scratch"]}, "cross_validation.recipe: no such parameter"),
    ],
)
def test_what_cannot_be_cross_validated_is_told(project: Path, change: dict[str, Any], told: str) -> None:
    own_data()
    edit(lambda p: p.update(self_supervised={"more": ENTRY}))
    edit(lambda p: p["recipes"]["fine_tune"].update(weights="more"))
    edit(lambda p: p["cross_validation"].update(change))
    assert told in refused()
