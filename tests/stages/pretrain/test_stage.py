"""pretrain as DVC runs it, on a cohort of forty small images and eight more without labels."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages import networks
from stages.artifacts import pretraining, unlabelled, weights
from stages.artifacts.cohort import COLUMNS, Cohort, Subset, Task

pytestmark = pytest.mark.slow  # a dozen processes that import torch

PARAMS = """
seed: 7
weights:
  start: { source: random, architecture: resnet18 }
features: { weights: again }
self_supervised:
  contrast: &same
    method: simclr
    weights: start
    epochs: 2
    lr: 0.002
    optimizer: adamw
    batch_size: 16
    probe_every: 1
    probe_c: [0.01, 1]
  same: *same
  killed: *same
  distilled: { method: byol, weights: contrast, epochs: 1, lr: 0.001, optimizer: adamw, batch_size: 16 }
  diverging: { method: simclr, weights: start, epochs: 1, lr: 1.0e+30, warmup_epochs: 0 }
recipes:
  probe: { strategy: linear_probe, weights: contrast, c: [0.01, 1] }
"""
CLASSES = ("normal", "pneumonia")


def _command(stage, item):
    return {
        "args": [sys.executable, "-m", f"stages.{stage}", item],
        "text": True,
        "env": {**os.environ, "RADREPRO_DEVICE": "cpu", "PYTHONPATH": os.pathsep.join(sys.path)},
    }


def _run(stage, item):
    return subprocess.run(**_command(stage, item), capture_output=True, check=False)


def _digests(name, *, judged=True):
    paths = [weights.path(name), pretraining.loss_path(name)]
    paths += [pretraining.probe_path(name), pretraining.record_path(name)] if judged else []
    return {path.name.replace(name, ""): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.fixture(scope="module")
def built(tmp_path_factory, stripes):
    folder = tmp_path_factory.mktemp("pretrain")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        (folder / "params.yaml").write_text(PARAMS, encoding="utf-8")
        images, labels = stripes(48, classes=2)
        (folder / "data/images/a").mkdir(parents=True)
        np.save(folder / "data/images/a/pixels.npy", images.pixels)
        frame = pd.DataFrame({name: [f"{name}{n}" for n in range(48)] for name, _ in COLUMNS})
        sides = [str(side) for side in (Subset.TRAIN, Subset.TRAIN, Subset.VAL, Subset.VAL, Subset.TEST)]
        frame = frame.assign(batch="a", row=np.arange(48)[::-1], age=40.0, days=0, subset=np.resize(sides, 48))
        for column, name in enumerate(CLASSES):
            frame[f"label:{name}"] = labels[frame["row"], column]
        cohort = Cohort(frame[:40], Task.BINARY, CLASSES)
        cohort.write()
        unlabelled.write(frame[40:][unlabelled.SCHEMA.names], cohort)
        for stage, item in [("weights", "start"), ("pretrain", "contrast"), ("pretrain", "distilled")]:
            done = _run(stage, item)
            assert done.returncode == 0, done.stderr
        yield folder


def _with_other_pixels(rows, name):
    """Train again with these rows' pixels inverted; then put them back."""
    path = Path("data/images/a/pixels.npy")
    before = path.read_bytes()
    pixels = np.load(path)
    pixels[rows] = 255 - pixels[rows]
    np.save(path, pixels)
    try:
        done = _run("pretrain", name)
        assert done.returncode == 0, done.stderr
    finally:
        path.write_bytes(before)


def test_the_weights_are_a_backbone_whose_header_tells_the_chain(built):
    _, features, header = networks.load_backbone(weights.path("contrast"), 32)
    assert (features, header.architecture, header.image_size) == (512, "resnet18", 32)
    assert header.source == "simclr from random, seed 7"
    assert header.recipe == "simclr, 2 epochs of 24 images"
    _, _, header = networks.load_backbone(weights.path("distilled"), 32)
    assert header.source == "byol from simclr from random, seed 7"
    assert header.recipe == "simclr, 2 epochs of 24 images; byol, 1 epochs of 24 images"


def test_the_curves_and_the_record_say_how_it_went(built):
    loss = pd.read_csv(pretraining.loss_path("contrast"))
    probe = pd.read_csv(pretraining.probe_path("contrast"))
    assert (loss.columns.tolist(), loss["epoch"].tolist()) == (["epoch", "lr", "loss"], [1, 2])
    assert (probe.columns.tolist(), probe["epoch"].tolist()) == (["epoch", "val_auroc"], [0, 1, 2])
    assert probe["val_auroc"].between(0, 1).all()
    assert json.loads(pretraining.record_path("contrast").read_text()) == {
        "method": "simclr",
        "weights": "start",
        "source": "simclr from random, seed 7",
        "architecture": "resnet18",
        "images": 24,
        "unlabelled": 8,
        "patients": 24,
        "epochs": 2,
        "images_seen": 48,
        "loss": pytest.approx(loss["loss"].iloc[-1], abs=1e-6),
        "val_auroc_at_start": pytest.approx(probe["val_auroc"].iloc[0], abs=1e-6),
        "val_auroc": pytest.approx(probe["val_auroc"].iloc[-1], abs=1e-6),
        "parameters": sum(p.numel() for p in networks.load_backbone(weights.path("contrast"))[0].parameters()),
        "device": "cpu",
        "precision": "fp32",
    }


def test_the_last_probe_is_what_a_recipe_of_a_linear_probe_finds(built):
    done = _run("finetune", "probe")
    assert done.returncode == 0, done.stderr
    found = json.loads(Path("models/probe/training.json").read_text())["val_auroc"]
    assert found == pytest.approx(pd.read_csv(pretraining.probe_path("contrast"))["val_auroc"].iloc[-1], abs=1e-6)


@pytest.mark.long
def test_pixels_of_val_and_test_change_nothing_and_those_of_the_unlabelled_do(built):
    cohort = Cohort.read()
    held = cohort.frame.loc[cohort.frame["subset"] != Subset.TRAIN, "row"].to_numpy()
    assert len(held) == 24
    _with_other_pixels(held, "same")
    assert _digests("same", judged=False) == _digests("contrast", judged=False)
    _with_other_pixels(unlabelled.read(cohort)["row"].to_numpy()[:1], "same")
    assert weights.path("same").read_bytes() != weights.path("contrast").read_bytes()


def test_labels_change_nothing_but_what_the_probe_says(built):
    before = Path("data/cohort.parquet").read_bytes()
    cohort = Cohort.read()
    names = [f"label:{name}" for name in CLASSES]
    swapped, train = cohort.frame.copy(), cohort.frame["subset"] == Subset.TRAIN
    swapped.loc[train, names] = 1 - swapped.loc[train, names]
    Cohort(swapped, Task.BINARY, CLASSES).write()
    try:
        done = _run("pretrain", "same")
    finally:
        Path("data/cohort.parquet").write_bytes(before)
    assert done.returncode == 0, done.stderr
    assert _digests("same", judged=False) == _digests("contrast", judged=False)
    assert pretraining.probe_path("same").read_bytes() != pretraining.probe_path("contrast").read_bytes()


def test_a_killed_stage_goes_on_and_makes_the_same_bytes(built):
    process = subprocess.Popen(**_command("pretrain", "killed"), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(Path(".radrepro/work/pretrain@killed").glob("[!.]*.pt")):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not weights.path("killed").exists()

    done = _run("pretrain", "killed")
    assert done.returncode == 0, done.stderr
    assert "goes on after epoch 1, where it was stopped" in done.stderr
    assert "epoch 1 of 2" not in done.stderr
    assert _digests("killed") == _digests("contrast")
    assert not Path(".radrepro/work/pretrain@killed").exists()


def test_training_that_fails_is_one_line_and_leaves_nothing(built):
    done = _run("pretrain", "diverging")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("pretrain@diverging: error: the features are no longer")
    assert "Traceback" not in done.stderr
    assert not weights.path("diverging").exists()
    assert not pretraining.directory("diverging").exists()


def test_several_processes_are_refused(built):
    command = _command("pretrain", "same")
    command["env"]["WORLD_SIZE"] = "2"
    done = subprocess.run(**command, capture_output=True, check=False)
    assert done.returncode == 1
    assert "runs on one device" in done.stderr.splitlines()[-1]
