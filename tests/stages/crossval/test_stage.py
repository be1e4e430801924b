"""Folds, their models and what they say together, as DVC runs them, on a cohort of sixty small images."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from stages import inference, networks
from stages.artifacts import crossval, features, model, unlabelled
from stages.artifacts.cohort import COLUMNS, Cohort, Subset, Task
from stages.artifacts.folds import Folds
from stages.learning import probe
from stages.loading import Images
from stages.split.folds import fold

pytestmark = pytest.mark.slow  # a dozen processes that import torch

PARAMS = """
seed: 7
weights:
  start: { source: random, architecture: mobilenet_v3_small }
features: { weights: start }
recipes:
  probe: { strategy: linear_probe, weights: start, c: [0.01, 1] }
  adapted: { strategy: adabn, weights: start, epochs: 1, lr: 0.01, batch_size: 8, target: { column: site, value: b } }
cross_validation: { recipes: [probe], folds: [1, 2, 3] }
evaluate: { resamples: 200 }
"""
CLASSES = ("normal", "pneumonia")
C = [0.01, 1]


def _run(*arguments):
    mine = {"RADREPRO_DEVICE": "cpu", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **mine})


@pytest.fixture(scope="module")
def built(tmp_path_factory, stripes):
    folder = tmp_path_factory.mktemp("stage")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        (folder / "params.yaml").write_text(PARAMS, encoding="utf-8")
        images, labels = stripes(60, classes=2)
        images.pixels[:] = np.where(np.random.default_rng(1).random(images.pixels.shape) < 0.75, 0, images.pixels)
        (folder / "data/images/a").mkdir(parents=True)
        np.save(folder / "data/images/a/pixels.npy", images.pixels)
        frame = pd.DataFrame({name: [f"{name}{n}" for n in range(60)] for name, _ in COLUMNS})
        sides = np.repeat([str(side) for side in (Subset.TRAIN, Subset.VAL, Subset.TEST)], [36, 12, 12])
        frame = frame.assign(batch="a", row=np.arange(60)[::-1], age=40.0, days=0, subset=sides, site="a")
        frame.loc[frame.index % 4 == 0, "site"] = "b"
        for column, name in enumerate(CLASSES):
            frame[f"label:{name}"] = labels[frame["row"], column]
        cohort = Cohort(frame, Task.BINARY, CLASSES)
        cohort.write()
        fold(cohort, 3).write()
        unlabelled.write(frame[:0][unlabelled.SCHEMA.names], cohort)
        steps = [("weights", "start"), ("features", "a"), *(("finetune", "probe", "--fold", str(n)) for n in (1, 2, 3))]
        for stage, *item in [*steps, ("crossval", "probe")]:
            done = _run(f"stages.{stage}", *item)
            assert done.returncode == 0, done.stderr
        yield folder


def test_a_folds_model_is_the_probe_of_the_other_folds_chosen_on_the_next(built):
    """Rows are picked by hand from the table of folds."""
    cohort = Cohort.read().frame
    number = cohort["image"].map(Folds.read().frame.set_index("image")["fold"])
    labels = cohort[[f"label:{name}" for name in CLASSES]].to_numpy(dtype=np.float32)
    for judged, chooses, trains in ((1, 2, 3), (2, 3, 1), (3, 1, 2)):
        parts = [(features.of(cohort[number == n]), labels[number == n]) for n in (trains, chooses)]
        expected = probe.fit(*parts, Task.BINARY, CLASSES, candidates=C, class_weights=False)
        classifier, _ = networks.load_classifier(model.weights_path("probe", judged))
        np.testing.assert_allclose(classifier.head.weight.detach().numpy(), expected.weight, rtol=1e-5)
        assert model.training("probe", judged)["chosen"] == {"c": expected.c}
    assert not model.directory("probe").exists(), "the recipe's own model is another stage's"


def test_predictions_are_those_of_the_model_that_never_saw_the_image(built):
    predictions = crossval.read_predictions("probe", CLASSES)
    cohort, folds = Cohort.read().frame.set_index("image"), Folds.read().frame.set_index("image")["fold"]
    sealed = cohort["subset"] == Subset.TEST
    judged = predictions[predictions["role"] == crossval.JUDGED].set_index("image")
    assert sorted(judged.index) == sorted(cohort.index[~sealed])
    assert judged["fold"].to_dict() == folds.to_dict()
    chosen = predictions[predictions["role"] == crossval.CHOSEN_ON].set_index("image")
    assert {name: number % 3 + 1 for name, number in chosen["fold"].items()} == folds.to_dict()
    for number, side in judged.groupby("fold"):
        classifier, header = networks.load_classifier(model.weights_path("probe", number))
        logits = inference.logits(classifier, Images(cohort.loc[side.index]), torch.device("cpu"))
        logits = logits.astype(float) / header.temperature
        scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(side[[f"score:{name}" for name in CLASSES]], scores, atol=1e-5)


def test_what_is_told_follows_from_the_predictions(built):
    predictions = crossval.read_predictions("probe", CLASSES)
    found = crossval.read("probe")
    judged = predictions[predictions["role"] == crossval.JUDGED]
    areas = [roc_auc_score(side["label:pneumonia"], side["score:pneumonia"]) for _, side in judged.groupby("fold")]
    assert [one["auroc"]["value"] for one in found["folds"]] == pytest.approx(areas, abs=1e-6)
    assert found["mean"]["auroc"]["value"] == pytest.approx(np.mean(areas), abs=1e-6)
    assert found["left_out"] == 0
    folder = crossval.directory("probe")
    short = json.loads((folder / "metrics.json").read_text())
    assert short["mean"]["auroc"] == found["mean"]["auroc"]["value"]
    assert short["sd"]["auroc"] == pytest.approx(np.std(areas, ddof=1), abs=1e-6)
    assert pd.read_csv(folder / "plots/folds.csv")["auroc"].tolist() == pytest.approx(areas, abs=1e-6)
    assert crossval.headline(found) == {
        "auroc": found["mean"]["auroc"],
        "sd": short["sd"]["auroc"],
        "folds": 3,
        "patients": 48,
    }
    html = crossval.report_path("probe").read_text(encoding="utf-8")
    assert "48 patients" in html
    assert not [name for name in ("patient0", "study0") if name in html], "no key is on the page"


def test_the_same_bytes_come_again(built):
    files = [model.weights_path("probe", 2), crossval.path("probe"), crossval.report_path("probe")]
    before = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    for command in (("stages.finetune", "probe", "--fold", "2"), ("stages.crossval", "probe")):
        assert _run(*command).returncode == 0
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in files] == before


def test_a_recipe_with_a_target_adapts_to_training_folds_alone(built):
    done = _run("stages.finetune", "adapted", "--fold", "1")
    assert done.returncode == 0, done.stderr
    cohort = Cohort.read().frame
    number = cohort["image"].map(Folds.read().frame.set_index("image")["fold"])
    trained = ((number == 3) & (cohort["site"] != "b")).sum()
    assert model.training("adapted", 1)["images_seen"] == trained
    assert "fold@adapted-1: " in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("stages.finetune", "probe", "--fold", "4"), "fold@probe-4: error: there is no fold 4"),
        (("stages.finetune", "prob", "--fold", "1"), "fold@prob-1: error: params.yaml: 'recipes.prob' is missing"),
        (("stages.crossval", "adapted"), "crossval@adapted: error: folds/adapted/2/model.safetensors is not here"),
    ],
)
def test_a_mistake_is_one_line(built, arguments, told):
    done = _run(*arguments)
    assert done.returncode == 1
    assert told in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
