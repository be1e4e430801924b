"""What a card rests on, for every kind of task: real objects of the stages before it, small."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from stages import params
from stages.artifacts.cohort import COLUMNS, Cohort, Task
from stages.card.facts import Facts
from stages.evaluate.params import EvaluateParams
from stages.finetune.params import Full
from stages.judging import curves, judge
from stages.preprocess.params import PreprocessParams
from stages.split.params import SplitParams

PATIENTS = 90
CLASSES = {
    Task.BINARY: ("normal", "pneumonia"),
    Task.MULTICLASS: ("normal", "pneumonia", "effusion"),
    Task.MULTILABEL: ("pneumonia", "effusion"),
}
INTAKE = {
    "files": 200,
    "accepted": 184,
    "used": 180,
    "images": 184,
    "duplicates": 3,
    "quarantined": 17,
    "reasons": {"DECODE_FAILED": 4, "DUPLICATE": 3, "NOT_DICOM": 13},
}
SHA256 = "0123456789abcdef" * 4


def cohort_of(task: Task) -> Cohort:
    """Two images of each patient, sides in turn; of a multi-label task some labels are unknown."""
    random = np.random.default_rng(3)
    classes = CLASSES[task]
    patient = np.arange(PATIENTS).repeat(2)
    frame = pd.DataFrame({name: [f"{name}{n}" for n in range(len(patient))] for name, _ in COLUMNS})
    for name in ("patient", "group", "study"):
        frame[name] = [f"p{n}" for n in patient]
    frame["row"] = np.arange(len(frame))
    frame["subset"] = np.array(["train", "val", "test"])[patient % 3]
    frame["batch"] = np.array(["north", "south"])[patient % 2]
    frame["site"] = np.array(["s1", "s2"])[patient % 2]
    frame["manufacturer"] = np.array(["Siemens", "GE|Medical", "<b>Philips</b>"])[patient % 3]
    frame["modality"], frame["body_part"] = "DX", "CHEST"
    frame["view"] = np.array(["PA", "AP", None], dtype=object)[patient % 3]
    frame["sex"] = np.array(["F", "M", None], dtype=object)[patient // 3 % 3]
    frame["age"] = np.where(patient % 10 == 0, np.nan, 20 + patient % 71).astype(np.float32)
    frame["days"] = 0
    if task is Task.MULTILABEL:
        labels = random.integers(0, 2, (len(frame), 2)).astype(np.float32)
        labels[random.random(labels.shape) < 0.2] = np.nan
        labels[np.isnan(labels).all(axis=1)] = 1
    else:
        labels = np.eye(len(classes), dtype=np.float32)[random.integers(0, len(classes), len(frame))]
    for k, name in enumerate(classes):
        frame[f"label:{name}"] = labels[:, k]
    return Cohort(frame, task, classes)


def facts_of(task: Task) -> Facts:
    """All of it: judged by the code that judges, a bit better than chance."""
    cohort = cohort_of(task)
    held_out = cohort.frame[cohort.frame["subset"] != "train"].reset_index(drop=True)
    truth = held_out[[f"label:{name}" for name in cohort.classes]].to_numpy()
    scores = np.nan_to_num(truth, nan=0.5) * 0.4 + np.random.default_rng(5).random(truth.shape) * 0.6
    if task is not Task.MULTILABEL:
        scores = scores / scores.sum(axis=1, keepdims=True)
    predictions = held_out.assign(**{f"score:{name}": scores[:, k] for k, name in enumerate(cohort.classes)})
    judged = judge.judge(predictions, task, cohort.classes, params.validate({"resamples": 100}, EvaluateParams, ""), 1)
    test = judge.judged(predictions[predictions["subset"] == "test"], task, cohort.classes)
    auroc = {side: {"auroc": judged[side]["auroc"]} for side in ("val", "test")}
    settings = {"strategy": "full", "weights": "starter", "epochs": 10, "lr": 0.002, "optimizer": "adamw"}
    split = {
        "labels": "data/labels.csv",
        "key": "SOPInstanceUID",
        "task": task.value,
        "classes": list(cohort.classes),
        "fractions": {"train": 0.6, "val": 0.15, "test": 0.25},
    }
    return Facts(
        recipe="fine_tune",
        settings=params.validate(settings, Full, "params.yaml"),
        seed=7,
        split=params.validate(split, SplitParams, "params.yaml"),
        preprocess=PreprocessParams(size=96),
        judging=params.validate({"resamples": 1000}, EvaluateParams, "params.yaml"),
        burned_in_absent="quarantine",
        cohort=cohort,
        excluded=pd.DataFrame(
            {"image": list("abc"), "batch": "north", "reason": ["UNLABELLED"] * 2 + ["JOINS_SUBSETS"]}
        ),
        intake={"batches": {"north": INTAKE, "south": INTAKE}, "total": INTAKE},
        stored=pd.DataFrame({"rows": [400, 512], "columns": [300, 512], "bits_stored": [8, 12]}),
        header={"image_size": "96", "source": "formulas, seed 1", "mean": "0.449", "std": "0.226", "blocks": "0"},
        sha256=SHA256,
        training={
            "strategy": "full",
            "weights": "starter",
            "architecture": "resnet18",
            "epochs": 10,
            "best_epoch": 7,
            "val_auroc": 0.8,
            "images_seen": 600,
            "trainable_parameters": 1234567,
            "parameters": 7654321,
            "device": "cpu",
            "precision": "fp32",
            "chosen": {},
        },
        evaluation=judged,
        decisions=curves.decisions(test, judged["thresholds"]),
        comparison={
            "best": "fine_tune",
            "recipes": {
                "fine_tune": auroc | {"difference_to_best": None},
                "scratch": auroc
                | {
                    "difference_to_best": {
                        "auroc": {"value": -0.1, "low": -0.2, "high": -0.05},
                        "delong": {"p_holm": 0.0004},
                    }
                },
            },
            "test_looks": 4,
            "warnings": ["Image size alone tells 'sick' on test with AUROC 0.900."],
        },
        packages={"torch": "2.13.0", "pydicom": "3.0.2"},
    )


@pytest.fixture(params=list(Task), scope="session")
def found(request: pytest.FixtureRequest) -> Facts:
    return facts_of(request.param)


@pytest.fixture(scope="session")
def binary() -> Facts:
    return facts_of(Task.BINARY)


def without_values(found: Facts) -> Facts:
    """As where a side lacks a class: every metric of test is null."""
    test = {
        name: dict.fromkeys(("value", "low", "high")) if isinstance(entry, dict) and "value" in entry else entry
        for name, entry in found.evaluation["test"].items()
    }
    test["delong"] = {"auroc": dict.fromkeys(("value", "low", "high"))}
    return replace(found, evaluation={**found.evaluation, "test": test})
