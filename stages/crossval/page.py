"""One recipe's cross-validation as a page."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from stages.artifacts.cohort import Task
from stages.artifacts.model import Training
from stages.judging import curves, judge
from stages.reports import folds_section
from stages.reports.folds_section import interval
from stages.reports.page import Fact, Figure, Page, Table, with_interval

LABELS = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "f1": "F1",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "brier": "Brier score (lower is better)",
}


def build(
    recipe: str,
    found: Mapping[str, Any],
    judged: pd.DataFrame,
    task: Task,
    classes: tuple[str, ...],
    training: Sequence[Training],
) -> Page:
    """The page. ``judged`` are the out-of-fold predictions, ``training`` is of each fold's model, in order."""
    count = len(found["folds"])
    first = training[0]
    others = "the one that is left" if count == 3 else f"the other {count - 2}"  # noqa: PLR2004 - one judges, one chooses
    spread = found["spread"]["auroc"]
    return Page(
        title=f"{recipe}, cross-validated: {' / '.join(classes)}",
        lead=(
            f"{first['architecture']} from weights '{first['weights']}', strategy {first['strategy']}, trained {count} "
            f"times: each model is judged on one fold, the next fold chose its epoch or penalty and its thresholds, "
            f"and {others} trained it. All are patients of train and val; test stays sealed."
        ),
        facts=[
            with_interval("AUROC, mean of folds", found["mean"]["auroc"]),
            Fact("Spread over folds", _deviation(spread), _range(spread)),
            with_interval("AUROC, pooled", found["pooled"]["auroc"]),
            Fact("Judged on", f"{found['patients']:,} patients", f"{found['images']:,} images, each once"),
            *_left_out(found["left_out"]),
        ],
        figures=[folds_section.forest(found), *_roc(judged, task, classes)],
        tables=[_summary(found), *_classes(found), _folds(found, training)],
        notes=[
            *folds_section.NOTES,
            "The mean counts each fold alike.",
            "Pooled is one ranking of images that several models scored: it is lower where their scores do not agree.",
        ],
    )


def _deviation(spread: Mapping[str, float | None]) -> str:
    return "undefined" if spread["sd"] is None else f"sd {spread['sd']:.3f}"


def _range(spread: Mapping[str, float | None]) -> str:
    low, high = spread["min"], spread["max"]
    return "a class is absent from a fold" if low is None or high is None else f"AUROC from {low:.3f} to {high:.3f}"


def _left_out(images: int) -> list[Fact]:
    return [Fact("In no fold", f"{images:,} images", "they would tie two folds together")] if images else []


def _roc(judged: pd.DataFrame, task: Task, classes: tuple[str, ...]) -> list[Figure]:
    """A figure for each class, a line for each fold."""
    by_fold = {
        str(number): curves.roc(judge.judged(table, task, classes))
        for number, table in judged.groupby("fold", sort=True)
    }
    layout = {
        "xaxis": {"title": {"text": "1 - specificity"}, "range": [0, 1]},
        "yaxis": {"title": {"text": "sensitivity"}, "range": [0, 1.01]},
    }
    figures = []
    for place, name in enumerate(next(iter(by_fold.values()))["class"].unique()):
        data: list[dict[str, Any]] = [_line([0, 1], [0, 1], "chance") | {"line": {"color": "#9aa7b3", "dash": "dot"}}]
        for number, curve in by_fold.items():
            one = curve[curve["class"] == name]
            data.append(_line(one["fpr"].tolist(), one["tpr"].tolist(), f"fold {number}"))
        figures.append(Figure(f"roc-{place}", f"ROC: {name}", "A line for each fold.", data, layout))
    return figures


def _line(x: list[float], y: list[float], name: str) -> dict[str, Any]:
    return {"type": "scatter", "mode": "lines", "x": x, "y": y, "name": name}


def _summary(found: Mapping[str, Any]) -> Table:
    rows = [
        [label, interval(found["mean"][name]), _deviation(found["spread"][name]), interval(found["pooled"][name])]
        for name, label in LABELS.items()
    ]
    return Table("Every metric", ["metric", "mean of folds", "over folds", "pooled"], rows)


def _classes(found: Mapping[str, Any]) -> list[Table]:
    """AUROC by class, where there are several that count."""
    classes = found["mean"]["per_class"]
    if len(classes) == 1:
        return []
    rows = [
        [name, interval(one["auroc"]), interval(found["pooled"]["per_class"][name]["auroc"])]
        for name, one in classes.items()
    ]
    return [Table("Class by class: AUROC", ["class", "mean of folds", "pooled"], rows)]


def _folds(found: Mapping[str, Any], training: Sequence[Training]) -> Table:
    rows = [
        [
            f"{one['fold']}",
            interval(one["auroc"]),
            interval(one["sensitivity"]),
            interval(one["specificity"]),
            f"{one['patients']:,}",
            f"{one['images']:,}",
            _chosen(how),
        ]
        for one, how in zip(found["folds"], training, strict=True)
    ]
    head = ["fold", "AUROC", "sensitivity", "specificity", "patients", "images", "the next fold chose"]
    return Table("Fold by fold", head, rows)


def _chosen(training: Training) -> str:
    found = [f"epoch {training['best_epoch']}"] if training["epochs"] else []
    found += [f"{name} {value:g}" for name, value in training["chosen"].items()]
    return ", ".join(found)
