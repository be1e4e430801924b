"""weights, features and finetune as DVC runs them, on a cohort of forty small images."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from unittest.mock import ANY

import numpy as np
import pandas as pd
import pytest
import torch

from stages import inference, networks
from stages.artifacts import features, model, unlabelled
from stages.artifacts.cohort import COLUMNS, Cohort, Subset, Task
from stages.loading import Images

pytestmark = pytest.mark.slow  # ten processes that import torch

PARAMS = """
seed: 7
weights:
  start: { source: random, architecture: mobilenet_v3_small }
  other: { source: random, architecture: resnet18 }
features: { weights: start }
recipes:
  probe: { strategy: linear_probe, weights: start, c: [0.01, 1] }
  probe_of_other: { strategy: linear_probe, weights: other, c: [0.01] }
  full: { strategy: full, weights: start, epochs: 2, lr: 0.02, batch_size: 8 }
  again: { strategy: full, weights: start, epochs: 2, lr: 0.02, batch_size: 8 }
  stays: { strategy: l2_sp, alpha: 0.1, weights: start, epochs: 6, lr: 0.02, batch_size: 4, ema: 0.9, mixup: 0.2 }
  killed: { strategy: l2_sp, alpha: 0.1, weights: start, epochs: 6, lr: 0.02, batch_size: 4, ema: 0.9, mixup: 0.2 }
  on_one: { strategy: head, hidden: [16], weights: other, epochs: 3, lr: 0.02, batch_size: 8 }
  on_two: { strategy: head, hidden: [16], weights: other, epochs: 3, lr: 0.02, batch_size: 8 }
  diverging: { strategy: full, weights: start, epochs: 2, lr: 1.0e+30, warmup_epochs: 0 }
"""
CLASSES = ("normal", "pneumonia")
CORES = sorted(os.sched_getaffinity(0))


def _run(stage, item, *, cores=CORES, devices=1):
    return subprocess.run(
        [sys.executable, "-m", f"stages.{stage}", item],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
        env=_environment(devices),
    )


def _environment(devices=1):
    mine = {"RADREPRO_DEVICE": "cpu", "RADREPRO_DEVICES": str(devices), "PYTHONPATH": os.pathsep.join(sys.path)}
    return {**os.environ, **mine}


def _digests(recipe):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (model.weights_path(recipe), model.history_path(recipe), model.training_path(recipe))
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory, stripes):
    folder = tmp_path_factory.mktemp("stage")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        (folder / "params.yaml").write_text(PARAMS, encoding="utf-8")
        images, labels = stripes(41, classes=2)
        (folder / "data/images/a").mkdir(parents=True)
        np.save(folder / "data/images/a/pixels.npy", images.pixels)
        frame = pd.DataFrame({name: [f"{name}{n}" for n in range(40)] for name, _ in COLUMNS})
        sides = [str(side) for side in (Subset.TRAIN, Subset.TRAIN, Subset.VAL, Subset.VAL, Subset.TEST)]
        frame = frame.assign(batch="a", row=np.arange(40)[::-1], age=40.0, days=0, subset=np.resize(sides, 40))
        for column, name in enumerate(CLASSES):
            frame[f"label:{name}"] = labels[frame["row"], column]
        cohort = Cohort(frame, Task.BINARY, CLASSES)
        cohort.write()
        unlabelled.write(frame[:0][unlabelled.SCHEMA.names], cohort)
        for stage, item in [
            ("weights", "start"),
            ("weights", "other"),
            ("features", "a"),
            ("finetune", "probe"),
            ("finetune", "full"),
        ]:
            done = _run(stage, item)
            assert done.returncode == 0, done.stderr
        yield folder


def test_features_are_those_of_every_image_whatever_the_cores(built):
    found = features.read("a")
    assert (found.shape, found.dtype) == ((41, 1024), np.float32)
    before = features.path("a").read_bytes()
    assert _run("features", "a", cores=CORES[:1]).returncode == 0
    assert features.path("a").read_bytes() == before
    rows = pd.DataFrame({"batch": ["a"] * 3, "row": [40, 0, 7]})
    assert np.array_equal(features.of(rows), found[[40, 0, 7]])


def test_the_probe_is_a_classifier_on_the_frozen_backbone(built):
    classifier, header = networks.load_classifier(model.weights_path("probe"))
    start, _, _ = networks.load_backbone("weights/start.safetensors", 32)
    assert (header.classes, header.task, header.image_size) == (CLASSES, "binary", 32)
    frozen = classifier.backbone.state_dict()
    assert all(torch.equal(value, frozen[key]) for key, value in start.state_dict().items())
    val = Cohort.read().subset(Subset.VAL)
    logits = inference.logits(classifier, Images(val.frame), torch.device("cpu"))
    by_hand = features.of(val.frame) @ classifier.head.weight.detach().numpy().T + classifier.head.bias.detach().numpy()
    np.testing.assert_allclose(logits, by_hand, atol=1e-3)
    record = json.loads(model.training_path("probe").read_text())
    assert record["chosen"]["c"] in {0.01, 1}
    assert record["trainable_parameters"] == 2 * 1024 + 2
    assert model.history_path("probe").read_text() == ",".join(model.HISTORY_COLUMNS) + "\n"


def test_a_probe_of_other_weights_than_the_cached_features_looks_for_itself(built):
    done = _run("finetune", "probe_of_other")
    assert done.returncode == 0, done.stderr
    _, header = networks.load_classifier(model.weights_path("probe_of_other"))
    assert header.architecture == "resnet18"


def test_training_gives_the_same_bytes_again_on_another_number_of_cores(built):
    done = _run("finetune", "again", cores=CORES[:1])
    assert done.returncode == 0, done.stderr
    assert _digests("full") == _digests("again")
    assert "epoch 2 of 2" in done.stderr


def test_the_record_says_how_the_model_came_about(built):
    classifier, header = networks.load_classifier(model.weights_path("full"))
    count = sum(parameter.numel() for parameter in classifier.parameters())
    assert header.source == "random, seed 7"
    assert json.loads(model.training_path("full").read_text()) == {
        "strategy": "full",
        "weights": "start",
        "architecture": "mobilenet_v3_small",
        "epochs": 2,
        "best_epoch": pytest.approx(1.5, abs=0.5),
        "val_auroc": pytest.approx(pd.read_csv(model.history_path("full"))["val_auroc"].max(), abs=1e-6),
        "images_seen": 32,
        "trainable_parameters": count,
        "parameters": count,
        "device": "cpu",
        "precision": "fp32",
        "chosen": {},
        "calibration": {
            "temperature": header.temperature,
            "outcome": ANY,
            "val_nll": ANY,
            "val_nll_uncalibrated": pytest.approx(pd.read_csv(model.history_path("full"))["val_loss"].min(), abs=1e-4),
        },
    }
    assert list(pd.read_csv(model.history_path("full")).columns) == model.HISTORY_COLUMNS


def test_training_that_fails_is_one_line_and_leaves_nothing(built):
    done = _run("finetune", "diverging")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("finetune@diverging: error: the loss is no longer a number")
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in (built / "models").iterdir() if "diverging" in path.name) == []


def test_an_unknown_recipe_is_told(built):
    done = _run("finetune", "fine_tun")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "'recipes.fine_tun' is missing" in done.stderr


def test_killed_training_goes_on_and_ends_with_the_same_bytes(built):
    """Of weights, their average, the pull's starting point, the optimiser, chance and the history."""
    done = _run("finetune", "stays")
    assert done.returncode == 0, done.stderr
    work = built / ".radrepro/work/finetune@killed"
    process = subprocess.Popen([sys.executable, "-m", "stages.finetune", "killed"], env=_environment())
    while not list(work.glob("[0-9a-f]*.pt")):
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not model.directory("killed").exists()
    done = _run("finetune", "killed")
    assert done.returncode == 0, done.stderr
    assert "goes on after epoch" in done.stderr
    assert _digests("killed") == _digests("stays")
    assert not work.exists()


@pytest.mark.long
def test_two_processes_give_the_metrics_of_one(built):
    """To rounding: gradients add up in another order. Noise, dropout and norms, each process's own, are absent."""
    for recipe, devices in (("on_one", 1), ("on_two", 2)):
        done = _run("finetune", recipe, devices=devices)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("epoch 3 of 3") == 1
    one, two = (pd.read_csv(model.history_path(recipe)) for recipe in ("on_one", "on_two"))
    assert one["train_loss"].iloc[-1] != one["train_loss"].iloc[0]
    pd.testing.assert_frame_equal(one, two, rtol=1e-4)
    one, two = (networks.load_classifier(model.weights_path(recipe))[0] for recipe in ("on_one", "on_two"))
    torch.testing.assert_close(one.state_dict(), two.state_dict(), rtol=1e-3, atol=1e-5)


@pytest.mark.long
def test_a_mistake_is_one_line_on_several_devices_too(built):
    done = _run("finetune", "diverging", devices=2)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()[-1:]
    assert line.startswith("finetune@diverging: error: the loss is no longer a number")
    assert "Traceback" not in done.stderr
