"""Everything that evaluation.json says follows from predictions.parquet: another program, scikit-learn, finds the same.

Nothing of stages.judging is used to recompute; docs/predictions.md is what there is to go by.
"""

import contextlib
import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from stages import params
from stages.artifacts import evaluation, tables
from stages.artifacts.cohort import Task
from stages.evaluate.params import EvaluateParams
from stages.judging import judge
from tests.conftest import ROOT

CLASSES = {
    Task.BINARY: ("normal", "pneumonia"),
    Task.MULTICLASS: ("normal", "pneumonia", "effusion"),
    Task.MULTILABEL: ("pneumonia", "effusion"),
}
SEED, RESAMPLES, PREVALENCE = 11, 100, 0.05
ELSEWHERE = {"calibration", "conformal", "abstention", "subgroups", "drop"}
"""Keys of a side whose numbers other tests compare with other programs."""


def _write(task: Task) -> None:
    """Both files, as evaluate writes them: one to three images a patient, ties, and some labels unknown."""
    random, classes = np.random.default_rng(2), CLASSES[task]
    patient = np.arange(120).repeat(random.integers(1, 4, 120))
    count = len(patient)
    if task is Task.MULTILABEL:
        labels = random.integers(0, 2, (count, len(classes))).astype(float)
        labels[random.random(labels.shape) < 0.2] = np.nan
        labels[np.isnan(labels).all(axis=1), 0] = 1
    else:
        labels = np.eye(len(classes))[random.integers(0, len(classes), count)]
    logits = (np.nan_to_num(labels, nan=0.5) * 1.5 + random.normal(size=labels.shape)).round(1)
    power = np.exp(logits)
    scores = power / (1 + power) if task is Task.MULTILABEL else power / power.sum(axis=1, keepdims=True)
    frame = pd.DataFrame(
        {
            "image": [f"i{n:03}" for n in range(count)],
            "patient": [f"p{(n * 37) % 120:03}" for n in patient],
            "batch": "a",
            "subset": np.array(["val", "test"])[patient % 2],
            **{f"label:{name}": labels[:, k].astype(np.float32) for k, name in enumerate(classes)},
            **{f"score:{name}": scores[:, k].astype(np.float32) for k, name in enumerate(classes)},
            **{f"logit:{name}": logits[:, k].astype(np.float32) for k, name in enumerate(classes)},
        }
    )
    schema = evaluation.predictions_schema(classes)
    tables.write(Path("reports/recipes/fine_tune/predictions.parquet"), frame[schema.names], schema)
    given = {"resamples": RESAMPLES, "threshold": "youden", "prevalence": {"pneumonia": PREVALENCE}}
    section = params.validate(given, EvaluateParams, "params.yaml")
    read = evaluation.read_predictions("fine_tune", classes)
    evaluation.write("fine_tune", judge.judge(read, task, classes, section, SEED))


@pytest.fixture(params=list(Task), ids=lambda task: task.value)
def files(request: pytest.FixtureRequest, workspace: Path) -> tuple[Task, pd.DataFrame, dict]:
    """The task, and the two files as anyone reads them."""
    _write(request.param)
    folder = workspace / "reports/recipes/fine_tune"
    return (
        request.param,
        pd.read_parquet(folder / "predictions.parquet"),
        json.loads((folder / "evaluation.json").read_text()),
    )


# --- the other program


def _names(task: Task, table: pd.DataFrame) -> list[str]:
    """The classes that are judged, from the columns."""
    every = [column.partition(":")[2] for column in table if column.startswith("label:")]
    return every[1:] if task is Task.BINARY else every


def _over(above: float, below: float) -> float:
    return above / below if below else np.nan


def _one(label: np.ndarray, score: np.ndarray, cut: np.ndarray | float) -> dict[str, float]:
    known = ~np.isnan(label)
    called = (score >= cut)[known]
    label, score = label[known], score[known]
    (passes, alarms), (misses, hits) = sk.confusion_matrix(label, called, labels=[0, 1])
    both = 0 < label.sum() < len(label)
    sensitivity, specificity = _over(hits, hits + misses), _over(passes, passes + alarms)
    return {
        "auroc": sk.roc_auc_score(label, score) if both else np.nan,
        "auprc": sk.average_precision_score(label, score) if both else np.nan,
        "accuracy": sk.accuracy_score(label, called),
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "f1": _over(2 * hits, 2 * hits + misses + alarms) if hits + misses else np.nan,
        "sensitivity": sensitivity,
        "specificity": specificity,
        "ppv": _over(hits, hits + alarms),
        "npv": _over(passes, passes + misses),
        "brier": sk.mean_squared_error(label, score),
    }


def _side(task: Task, rows: pd.DataFrame, cuts: dict[str, float]) -> dict:
    """Every metric of these rows, nested as in evaluation.json, each a number."""
    names = _names(task, rows)
    labels = {name: rows[f"label:{name}"].to_numpy(float) for name in names}
    scores = {name: rows[f"score:{name}"].to_numpy(float) for name in names}
    classes = {name: _one(labels[name], scores[name], cuts[name]) for name in names}
    whole = {metric: np.mean([one[metric] for one in classes.values()]) for metric in classes[names[0]]}
    if task is Task.MULTICLASS:
        truth, best = (np.argmax([of[name] for name in names], axis=0) for of in (labels, scores))
        recalls = sk.recall_score(truth, best, labels=range(len(names)), average=None, zero_division=np.nan)
        f1 = sk.f1_score(truth, best, labels=range(len(names)), average=None)
        there = np.isin(range(len(names)), truth)
        whole["accuracy"] = sk.accuracy_score(truth, best)
        whole["balanced_accuracy"] = np.mean(recalls)
        whole["f1"] = np.mean(np.where(there, f1, np.nan))
        whole["brier"] = sum(one["brier"] for one in classes.values())
    found = {**whole, "per_class": classes, "operating": {}}
    if task is not Task.BINARY:
        heap = [np.concatenate([of[name] for name in names]) for of in (labels, scores)]
        found["micro"] = _one(*heap, np.concatenate([np.full(len(rows), cuts[name]) for name in names]))
    for name, one in classes.items():
        sensitivity, specificity = one["sensitivity"], one["specificity"]
        point = {metric: one[metric] for metric in ("sensitivity", "specificity", "ppv", "npv")}
        point["lr_positive"] = _over(sensitivity, 1 - specificity)
        point["lr_negative"] = _over(1 - sensitivity, specificity)
        if name == "pneumonia":
            sick, well = PREVALENCE, 1 - PREVALENCE
            point["ppv_at_prevalence"] = _over(sensitivity * sick, sensitivity * sick + (1 - specificity) * well)
            point["npv_at_prevalence"] = _over(specificity * well, specificity * well + (1 - sensitivity) * sick)
        found["operating"][name] = point
    return found


def _drawn(rows: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of each resample, a patient drawn twice standing there twice."""
    random, keys = np.random.default_rng(SEED), np.unique(rows["patient"])
    of = {key: np.flatnonzero(rows["patient"] == key) for key in keys}
    draws = [random.integers(0, len(keys), len(keys)) for _ in range(RESAMPLES)]
    return [rows.iloc[np.concatenate([of[keys[number]] for number in draw])] for draw in draws]


def _entries(value: object, draws: list) -> object:
    """A number and those of the resamples as ``{"value", "low", "high"}``, through all levels."""
    if isinstance(value, dict):
        return {name: _entries(value[name], [draw[name] for draw in draws]) for name in value}
    known = np.array(draws)[~np.isnan(draws)]
    low, high = np.percentile(known, [2.5, 97.5])
    return {"value": value, "low": low, "high": high}


def _delong(rows: pd.DataFrame, names: list[str]) -> dict[str, dict[str, float]]:
    """By the definition, every positive against every negative; what a patient adds is summed first."""
    keys = np.unique(rows["patient"])
    values, added, most = [], [], []
    for name in names:
        known = rows[rows[f"label:{name}"].notna()]
        score, positive = known[f"score:{name}"].to_numpy(float), known[f"label:{name}"].to_numpy() == 1
        pairs = np.sign(score[positive][:, None] - score[~positive][None, :]) / 2 + 0.5
        area = pairs.mean()
        parts = pd.Series(0.0, index=keys)
        for side, component in ((positive, pairs.mean(axis=1)), (~positive, pairs.mean(axis=0))):
            patients = known["patient"][side]
            group = patients.nunique()
            sums = pd.Series(component - area, index=patients.to_numpy()).groupby(level=0).sum()
            parts = parts.add(np.sqrt(group / (group - 1)) * sums / side.sum(), fill_value=0)
        values.append(area)
        added.append(parts)
        people = [known["patient"][side].nunique() for side in (positive, ~positive)]
        most.append(4 * people[0] * people[1] / sum(people))

    def entry(value: float, parts: pd.Series, most: float) -> dict[str, float]:
        """Wilson's, of as many trials as have the standard error; quadratic in the true value."""
        trials = min(most, value * (1 - value) / (parts**2).sum())
        square = 1.959963984540054**2 / trials
        roots = np.roots([1 + square, -2 * value - square, value**2])
        return {"value": value, "low": roots.min(), "high": roots.max()}

    found = {name: entry(*of_class) for name, *of_class in zip(names, values, added, most, strict=True)}
    return found | {"": entry(np.mean(values), sum(added) / len(added), sum(most))}


# --- the two beside one another


def _same(found: object, expected: object, where: str = "") -> None:
    if isinstance(expected, dict):
        assert isinstance(found, dict), where
        assert set(found) == set(expected), where
        for name in expected:
            _same(found[name], expected[name], f"{where}.{name}")
    else:
        assert found == pytest.approx(expected, abs=6e-7), where


def test_every_number_of_the_evaluation_follows_from_the_predictions(files) -> None:
    task, table, judged = files
    names = _names(task, table)
    sides = {side: table[table["subset"] == side] for side in ("val", "test")}
    cuts = judged["thresholds"]
    assert set(cuts) == set(names)
    for name, cut in cuts.items():
        val = sides["val"][sides["val"][f"label:{name}"].notna()]
        fpr, tpr, edges = sk.roc_curve(
            val[f"label:{name}"], val[f"score:{name}"].astype(float), drop_intermediate=False
        )
        assert cut == edges[np.argmax((tpr - fpr).round(12))]
    for side, rows in sides.items():
        expected = _entries(_side(task, rows, cuts), [_side(task, draw, cuts) for draw in _drawn(rows)])
        areas = _delong(rows, names)
        expected["delong"] = {"auroc": areas[""]}
        for name in names:
            expected["per_class"][name]["delong"] = {"auroc": areas[name]}
            expected["operating"][name]["threshold"] = cuts[name]
        if "pneumonia" in names:
            expected["operating"]["pneumonia"]["prevalence"] = PREVALENCE
        expected |= {"images": len(rows), "patients": rows["patient"].nunique()}
        _same({name: found for name, found in judged[side].items() if name not in ELSEWHERE}, expected, side)


def test_metrics_json_is_of_it(files) -> None:
    _, _, judged = files
    short = json.loads(Path("reports/recipes/fine_tune/metrics.json").read_text())
    for name, value in short["test"].items():
        assert value == judged["test"][name]["value"]


# --- the page that describes them


PAGE = (ROOT / "docs/predictions.md").read_text(encoding="utf-8")


def test_every_column_is_described_as_it_is() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| (\w+) \|", PAGE, flags=re.MULTILINE)
    schema = evaluation.predictions_schema(("<class>",))
    kinds = {"string": "string", "float": "float32", "double": "float64"}
    assert rows == [(field.name, kinds[str(field.type)]) for field in schema]


def test_the_example_of_the_page_runs_and_agrees(workspace: Path) -> None:
    _write(Task.BINARY)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(code, {})
    lines = said.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["AUROC", "sensitivity"]
    for line in lines:
        computed, written = re.findall(r"[\d.]+", line)[0], re.search(r"'value': ([\d.]+)", line)[1]
        assert float(computed) == pytest.approx(float(written), abs=6e-7)
