"""Stages that write small but real artifacts in milliseconds: ``python make.py <stage> [<item>]``."""

import hashlib
import json
import math
import os
import struct
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from stages import params, runtime
from stages.account import counting
from stages.artifacts import card as cards
from stages.artifacts import (
    cohort,
    evaluation,
    images,
    index,
    intake,
    looks,
    model,
    pretraining,
    quarantine,
    shortcuts,
    weights,
)
from stages.artifacts.cohort import Cohort, Subset, Task
from stages.artifacts.quarantine import Rejected
from stages.learning import report
from stages.reasons import Reason

CLASSES = ("normal", "pneumonia", "effusion")
WARNINGS = ["Image size alone tells it with AUROC 0.900 [0.850, 0.950]."]
SKILL = {"linear_probe": 0.72, "fine_tune": 0.86}
METRICS = ["auroc", "auprc", "accuracy", "balanced_accuracy", "f1", "sensitivity", "specificity", "brier"]


def key(*parts: object) -> str:
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()[:32]


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def phantom(_: str) -> None:
    given = params.load()["phantom"]
    for batch in ("site-a", "site-b"):
        for number in range(given["patients"] // 2):
            write(Path(f"data/raw/{batch}/{number:03}.dcm"), f"{given['seed']} {batch} {number}\n")
    write(Path("data/phantom.csv"), "SOPInstanceUID,label\n")


def check(_: str) -> None:
    recipes = params.load()["recipes"]
    if bad := [name for name, recipe in recipes.items() if recipe.get("lr", 1) <= 0]:
        raise runtime.UserError(f"params.yaml: recipes.{bad[0]}.lr: must be above 0")
    write(Path("data/check.txt"), "as it should be\n")


def ingest(batch: str) -> None:
    files = sorted(path.name for path in Path(f"data/raw/{batch}").iterdir())
    runtime.log.info("%d files", len(files))
    write(index.path(batch), "\n".join(files))
    rejected = [
        Rejected(key(batch, files[0]), Reason.NOT_DICOM),
        Rejected(key(batch, files[1]), Reason.TRUNCATED, "3 of 9 bytes"),
    ]
    quarantine.write(index.quarantine_path(batch), rejected)
    rows = [(name, key(batch, name), "accepted", "", key("instance", batch, name)) for name in files]
    rows[0] = (f"Doe^Jane/{files[0]}", key(batch, files[0]), "quarantined", "NOT_DICOM", "")
    index.write_restricted(batch, pd.DataFrame(rows, columns=index.RESTRICTED_COLUMNS))


def preprocess(batch: str) -> None:
    folder = Path(f"data/images/{batch}")
    write(folder / "pixels.npy", Path(f"data/index/{batch}.parquet").read_text(encoding="utf-8"))
    quarantine.write(folder / "quarantine.csv", [Rejected(key(batch, "x"), Reason.DECODE_FAILED)])


def account(_: str) -> None:
    batches = {}
    for batch in params.load()["batches"]:
        files = len(list(Path(f"data/raw/{batch}").iterdir()))
        tables = (index.quarantine_path(batch), images.quarantine_path(batch))
        reasons = [reason for path in tables for reason in quarantine.read(path)["reason"]]
        batches[batch] = {
            "files": files,
            "accepted": files - 2,
            "used": files - 3,
            "images": files - 3,
            "duplicates": 0,
            "quarantined": len(reasons),
            "reasons": {name: reasons.count(name) for name in sorted(set(reasons))},
        }
    intake.write({"batches": batches, "total": counting.total(batches.values())})
    shortcuts.write({"labels": {}, "origins": {}, "permuted": {}, "warnings": []})


def split(_: str) -> None:
    rows = []
    for batch in params.load()["batches"]:
        count = len(list(Path(f"data/raw/{batch}").iterdir()))
        for row in range(count):
            side = ("train", "train", "val", "test")[row % 4]
            name = key(batch, row)
            patient = dict.fromkeys(("instance", "study", "patient", "group"), name)
            labels = {f"label:{label}": float(row // 4 % 3 == at) for at, label in enumerate(CLASSES)}
            pixels = hashlib.sha256(name.encode()).hexdigest()
            rows.append(
                {
                    "image": name,
                    "batch": batch,
                    "row": row,
                    "subset": side,
                    "age": 50.0,
                    "days": 0,
                    "pixel_sha256": pixels,
                }
                | patient
                | labels
            )
    frame = pd.DataFrame(rows)
    for column, _type in cohort.COLUMNS:
        if column not in frame:
            frame[column] = frame["image"]  # unlike any other's, as hashes of unlike images are
    Cohort(frame, Task.MULTICLASS, CLASSES).write()


def pretrain(name: str) -> None:
    settings = params.load()["self_supervised"][name]
    steps = range(1, settings["epochs"] + 1)
    pretraining.directory(name).mkdir(parents=True, exist_ok=True)
    pretraining.write_curve(pretraining.loss_path(name), [{"epoch": at, "lr": 0.1, "loss": 4 / at} for at in steps])
    pretraining.write_curve(
        pretraining.probe_path(name), [{"epoch": 0, "val_auroc": 0.6}, {"epoch": len(steps), "val_auroc": 0.7}]
    )
    record = {"method": settings["method"], "weights": settings["weights"], "source": "simclr from starter"}
    numbers = {"images": 20, "unlabelled": 4, "val_auroc_at_start": 0.6, "val_auroc": 0.7}
    runtime.write_json(pretraining.record_path(name), record | numbers | {"architecture": "tiny", "device": "cpu"})
    write(weights.path(name), f"the weights of {name}\n")


def finetune(recipe: str) -> None:
    settings = params.load()["recipes"][recipe]
    epochs = settings.get("epochs", 0)
    header = {
        "__metadata__": {
            "format": "radrepro-model-1",
            "architecture": "tiny",
            "classes": json.dumps(CLASSES),
            "task": "multiclass",
            "image_size": "8",
        }
    }
    header["head.weight"] = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    values = np.full(4, settings.get("lr", 0.5), dtype="<f4").tobytes()
    with runtime.atomic_directory(model.directory(recipe)) as folder:
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + values)
        loss = abs(math.log10(settings.get("lr", 0.02) / 0.02)) / 10  # 0.02 is the best learning rate
        history = []
        told = report.into(os.environ.get("RADREPRO_EPOCHS", ""), history.append)
        for at in range(1, epochs + 1):
            time.sleep(float(os.environ.get("MAKE_EPOCH_SECONDS", "0")) if at > 1 else 0)
            if settings["lr"] > 1:
                raise runtime.UserError("the loss is no longer a number in epoch 1: lower this recipe's lr")
            val = 0.6 + 0.05 * at - loss
            judged = {"val_auroc": val, "val_auprc": val, "val_balanced_accuracy": val}
            told({"epoch": at, "lr": 0.01 / at, "train_loss": 1 / at, "val_loss": 1.1 / at, **judged})
        model.write_history(folder / "history.csv", history)
        runtime.write_json(
            folder / "training.json",
            {
                "strategy": settings["strategy"],
                "weights": settings["weights"],
                "architecture": "tiny",
                "epochs": epochs,
                "best_epoch": epochs,
                "val_auroc": max((epoch["val_auroc"] for epoch in history), default=0.7),
                "images_seen": 20 * epochs,
                "trainable_parameters": 4,
                "parameters": 4,
                "device": "cpu",
                "precision": "fp32",
                "chosen": {} if epochs else {"c": 0.1},
            },
        )


def evaluate(recipe: str) -> None:
    def side(skill: float) -> dict:
        values = {name: {"value": skill, "low": skill - 0.05, "high": skill + 0.04} for name in METRICS}
        return values | {"images": 10, "patients": 10}

    skill = SKILL.get(recipe, 0.8)
    looks.record(looks.key(Cohort.read().subset(Subset.TEST)), model.weights_path(recipe), recipe)
    evaluation.write(recipe, {"val": side(skill + 0.01), "test": side(skill)})
    folder = evaluation.directory(recipe)
    write(folder / "report.html", f"<!doctype html><html><body><h1>{recipe}</h1></body></html>\n")
    write(folder / "predictions.parquet", "a row per patient\n")


def compare(_: str) -> None:
    recipes = list(params.load()["recipes"])
    best = max(recipes, key=lambda name: evaluation.read(name)["val"]["auroc"]["value"])
    compared = {"best": best, "recipes": {name: evaluation.read(name) for name in recipes}}
    compared["test_looks"] = looks.count(looks.key(Cohort.read().subset(Subset.TEST)))
    compared["warnings"] = WARNINGS
    runtime.write_json(evaluation.COMPARISON_PATH, compared)
    write(evaluation.COMPARISON_REPORT_PATH, "<!doctype html><html><body><h1>recipes</h1></body></html>\n")


def card(recipe: str) -> None:
    cards.write(recipe, {"model": {"recipe": recipe}}, f"# Model card: {recipe}\n")


if __name__ == "__main__":
    stage, item = sys.argv[1], (sys.argv[2:] or [""])[0]
    product = {"finetune": model.weights_path, "pretrain": weights.path}.get(stage, lambda _: None)(item)
    runtime.run(stage, lambda: globals()[stage](item), item, product)
