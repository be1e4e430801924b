"""The report of a recipe, for every kind of task: how good, how sure, on whom; drawn figures; cases that are real."""

import json

import numpy as np
import pandas as pd
import pytest

from stages.artifacts import evaluation
from stages.artifacts.cohort import COLUMNS, Cohort, Task
from stages.evaluate import cases, report
from stages.evaluate.params import EvaluateParams
from stages.judging import abstention, bootstrap, calibration, curves, judge, subgroups

PATIENTS = 60
_NONE = {"auroc": {"value": None, "low": None, "high": None}, "per_class": {}, "verdict": "undefined"}
SHORTCUTS = {
    "labels": {"nuisance": _NONE, "metadata": _NONE, "demographics": _NONE},
    "origins": {},
    "permuted": {"features": {"mean": 0.5, "sd": 0.1, "verdict": "ok"}},
    "warnings": ["Borders alone tell it."],
}
SECTION = EvaluateParams(resamples=100, cases=5)
CLASSES = {
    Task.BINARY: ("normal", "pneumonia"),
    Task.MULTICLASS: ("normal", "pneumonia", "effusion"),
    Task.MULTILABEL: ("pneumonia", "effusion"),
}
TRAINING = {
    "strategy": "full",
    "weights": "starter",
    "architecture": "tiny",
    "epochs": 2,
    "best_epoch": 2,
    "images_seen": 40,
    "trainable_parameters": 1234,
    "parameters": 5678,
    "device": "cpu",
    "precision": "fp32",
    "chosen": {},
    "calibration": {"temperature": 1.0, "outcome": "fitted", "val_nll": 0.5, "val_nll_uncalibrated": 0.5},
}
HISTORY = pd.DataFrame(
    {"epoch": [1, 2], "lr": [0.1, 0.0], "train_loss": [1, 0.9], "val_loss": [1, 0.8], "val_auroc": [0.5, 0.7]}
)


def _cohort(task: Task) -> Cohort:
    """Two images of each patient, sides in turn; of a multi-label task some labels are unknown."""
    random = np.random.default_rng(3)
    classes = CLASSES[task]
    patient = np.arange(PATIENTS).repeat(2)
    frame = pd.DataFrame({name: [f"{name}{n}" for n in range(len(patient))] for name, _ in COLUMNS})
    for name in ("patient", "group", "study"):
        frame[name] = [f"p{n}" for n in patient]
    frame["subset"] = np.array(["train", "val", "test"])[patient % 3]
    frame["batch"] = "a-batch"
    if task is Task.MULTILABEL:
        labels = random.integers(0, 2, (len(frame), 2)).astype(np.float32)
        labels[random.random(labels.shape) < 0.2] = np.nan
        labels[np.isnan(labels).all(axis=1)] = 1
    else:
        labels = np.eye(len(classes), dtype=np.float32)[random.integers(0, len(classes), len(frame))]
    for k, name in enumerate(classes):
        frame[f"label:{name}"] = labels[:, k]
    return Cohort(frame, task, classes)


@pytest.fixture(params=list(Task))
def built(request: pytest.FixtureRequest):
    task = request.param
    cohort = _cohort(task)
    held_out = cohort.frame[cohort.frame["subset"] != "train"].reset_index(drop=True)
    random = np.random.default_rng(5)
    truth = held_out[[f"label:{name}" for name in cohort.classes]].to_numpy()
    scores = np.clip(np.nan_to_num(truth, nan=0.5) * 0.4 + random.random(truth.shape) * 0.6, 0, 1)
    if task is not Task.MULTILABEL:
        scores = scores / scores.sum(axis=1, keepdims=True)
    logits = np.log(np.clip(scores, 1e-6, 1)).astype(np.float32)
    predictions = evaluation.predictions(held_out, cohort.classes, scores, logits)
    metrics = judge.judge(predictions, task, cohort.classes, SECTION, 1, temperature=1.0)
    on_test = (predictions["subset"] == "test").to_numpy()
    test = judge.judged(predictions[on_test], task, cohort.classes)
    patients = predictions[on_test]["patient"].tolist()
    groups = subgroups.attributes(held_out[on_test].assign(age=40.0, sex=np.resize(["F", "M"], on_test.sum())), [60])
    groups = groups[["age", "sex"]]
    metrics["test"]["subgroups"] = subgroups.judge(test, metrics["thresholds"], groups, patients, 5)
    resamples = bootstrap.resample(patients, 50, 1)
    strips, notes = [("strip", [])], ["a note"]
    plots = {
        "reliability": calibration.diagram(
            test, judge.logits(predictions[on_test], cohort.classes), 1.0, judge.numbered(patients)
        ),
        "risk_coverage": abstention.curve(test, metrics["thresholds"]),
    }
    page = report.build(
        "a_recipe", metrics, cohort, test, resamples, plots, HISTORY, TRAINING, SECTION, SHORTCUTS, strips, notes
    )
    assert page.pictures == [("strip", [])]
    assert "a note" in page.notes
    return cohort, test, metrics, page


def test_the_first_screen_answers_how_good_how_sure_and_on_whom(built) -> None:
    cohort, _, metrics, page = built
    facts = {fact.label.partition(" (")[0]: fact for fact in page.facts}
    auroc = metrics["test"]["auroc"]
    assert facts["AUROC on test"].value == f"{auroc['value']:.3f}"
    assert f"{auroc['low']:.3f} to {auroc['high']:.3f}" in facts["AUROC on test"].note
    tested = cohort.frame[cohort.frame["subset"] == "test"]
    assert facts["Judged on"].value == f"{tested['patient'].nunique()} patients"
    assert "a-batch" in facts["Trained on"].note
    assert facts["Trained parameters"].value == "1,234"


def test_every_figure_can_be_drawn(built) -> None:
    _, test, _, page = built
    names = [figure.name for figure in page.figures]
    assert len(set(names)) == len(names)
    assert {"metrics", "roc", "precision-recall", "confusion", "learning", "reliability"} <= set(names)
    assert sum(name.startswith("scores-") for name in names) == len(test.columns)
    for figure in page.figures:
        json.dumps([figure.data, figure.layout], allow_nan=False)
        for axis in ("xaxis", "yaxis"):
            title = figure.layout.get(axis, {}).get("title")
            assert title is None or isinstance(title, dict), "plotly draws no title that is a bare string"


def test_val_and_test_of_a_metric_do_not_cover_one_another(built) -> None:
    """Equal values would be one dot; the row that both stand on is named once, at its middle."""
    _, _, metrics, page = built
    forest = next(figure for figure in page.figures if figure.name == "metrics")
    rows = dict(zip(forest.layout["yaxis"]["ticktext"], forest.layout["yaxis"]["tickvals"], strict=True))
    val, test = forest.data
    for side, found in (("val", val), ("test", test)):
        for at, x, label in zip(found["y"], found["x"], found["customdata"], strict=True):
            name = next(name for name, shown in report.LABELS.items() if shown == label)
            assert x == metrics[side][name]["value"]
            assert 0 < abs(at - rows[label]) < 0.25
    assert not set(val["y"]) & set(test["y"])


def test_a_cell_of_the_confusion_counts_every_known_label_once(built) -> None:
    _, test, _, page = built
    (matrix,) = next(figure for figure in page.figures if figure.name == "confusion").data
    counted = sum(int(cell.partition("<br>")[0]) for row in matrix["text"] for cell in row)
    known = int((~np.isnan(test.labels)).sum()) if test.task is Task.MULTILABEL else len(test.labels)
    assert counted == known


def test_a_model_that_always_says_the_same_is_called_out() -> None:
    labels = np.eye(2)[[0, 0, 1]]
    constant = judge.Judged(Task.BINARY, ("normal", "sick"), labels, np.tile([0.9, 0.1], (3, 1)))
    assert "It says 'normal' of every test image" in cases.constant(constant, {"sick": 0.5})
    perfect = judge.Judged(Task.BINARY, ("normal", "sick"), labels, labels)
    assert cases.constant(perfect, {"sick": 0.5}) == ""


def test_decisions_of_findings_that_never_meet_are_still_decisions_by_threshold() -> None:
    labels = np.array([[0, 0], [0, 0], [1, 0], [0, 1], [np.nan, 0]])
    scores = np.array([[0.1, 0.1], [0.9, 0.1], [0.9, 0.1], [0.1, 0.2], [0.5, 0.1]])
    test = judge.Judged(Task.MULTILABEL, ("pneumonia", "effusion"), labels, scores)
    table = curves.decisions(test, {"pneumonia": 0.5, "effusion": 0.5})
    assert len(table) == 9, "every known label once"
    pairs = table.value_counts().to_dict()
    assert pairs == {
        ("not effusion", "not effusion"): 4,
        ("not pneumonia", "not pneumonia"): 2,
        ("effusion", "not effusion"): 1,
        ("not pneumonia", "pneumonia"): 1,
        ("pneumonia", "pneumonia"): 1,
    }


def test_metrics_json_is_short_enough_for_a_terminal(built, workspace) -> None:
    _, _, metrics, _ = built
    evaluation.write("a_recipe", metrics)
    short = json.loads((evaluation.directory("a_recipe") / "metrics.json").read_text())
    assert short["val"] == {"auroc": metrics["val"]["auroc"]["value"]}
    assert short["test"]["brier"] == metrics["test"]["brier"]["value"]
    assert sum(len(side) for side in short.values()) < 12
    assert evaluation.read("a_recipe") == metrics


def test_subgroups_and_shortcuts_stand_in_the_report(built) -> None:
    _, _, metrics, page = built
    assert set(metrics["test"]["subgroups"]) == {"sex"}, "one band of ages is no subgroup"
    titles = {table.title for table in page.tables}
    assert "What else tells the label" in titles
    assert any("Subgroups" in title or "Too few" in title for title in titles)
    assert "Warning: Borders alone tell it." in page.notes
    assert ("Shortcuts", "1 warning") in {(fact.label, fact.value) for fact in page.facts}
