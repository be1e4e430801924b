"""The report of one recipe: how good, how sure, on whom, since which data; then the curves, then cases."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from stages.artifacts.cohort import Cohort, Subset, Task
from stages.artifacts.model import Training
from stages.artifacts.shortcuts import Shortcuts
from stages.evaluate import (
    abstention_section,
    calibration_section,
    cases,
    conformal_section,
    external_section,
    subgroups_section,
)
from stages.evaluate.params import EvaluateParams
from stages.judging import curves, operating
from stages.judging.bootstrap import Resamples
from stages.judging.metrics import NAMES, Judged
from stages.reports import shortcuts, shown
from stages.reports.page import COLOURS, Fact, Figure, Page, Picture, Table, with_interval

LABELS = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "f1": "F1",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "brier": "Brier score (lower is better)",
}
_ASIDE = 0.16  # of a row: val below its line, test above it, for the two can be equal


def build(
    recipe: str,
    metrics: dict[str, Any],
    cohort: Cohort,
    test: Judged,
    resamples: Resamples,
    plots: Mapping[str, pd.DataFrame],
    history: pd.DataFrame,
    training: Training,
    section: EvaluateParams,
    else_told: Shortcuts,
    pictures: Sequence[tuple[str, Sequence[Picture]]],
    notes: Sequence[str],
) -> Page:
    """The page.

    ``resamples`` are those of test, ``plots`` the tables that evaluate writes for DVC; ``else_told`` is what else than
    the disease tells the label; ``pictures``, and ``notes`` on them, are of the cases' section.
    """
    found, groups = metrics["test"], metrics["test"]["subgroups"]
    figures = [
        _forest(metrics),
        _roc(test, resamples),
        _precision_recall(test),
        _confusion(test, metrics["thresholds"]),
    ]
    figures += [
        calibration_section.figure(plots["reliability"]),
        abstention_section.figure(plots["risk_coverage"], found["abstention"]),
        *subgroups_section.figure(groups, found["auroc"], test.counted),
    ]
    figures += [*_scores(test), *([_learning(history)] if len(history) else [])]
    return Page(
        title=f"{recipe}: {' / '.join(cohort.classes)}",
        lead=(
            f"{training['architecture']} from weights '{training['weights']}', strategy {training['strategy']}. Judged "
            f"on {found['patients']} patients who were neither trained on nor tuned on. Intervals are 95 %, by "
            f"resampling patients.{cases.constant(test, metrics['thresholds'])}"
        ),
        facts=[
            *_facts(metrics, cohort, training, section),
            *external_section.facts(metrics),
            shortcuts.fact(else_told),
        ],
        links=[("The recipes compared", "../../comparison.html")],
        figures=figures,
        tables=[
            _table(metrics),
            *_more_than_one(metrics, cohort.task),
            _operating(metrics, section),
            calibration_section.table(found["calibration"]),
            calibration_section.parts(found["calibration"]),
            conformal_section.table(found["conformal"], metrics["conformal"]),
            abstention_section.table(found["abstention"]),
            *external_section.tables(metrics),
            *subgroups_section.tables(groups, section.subgroup_patients),
            shortcuts.table(else_told, found["auroc"]),
        ],
        pictures=pictures,
        notes=[
            *shortcuts.notes(else_told, found["auroc"]),
            *subgroups_section.notes(groups),
            *calibration_section.notes(metrics["temperature"], training["calibration"]["outcome"]),
            *conformal_section.notes(found["conformal"], metrics["conformal"]),
            *notes,
            *_notes(cohort.task, external_section.note(metrics)),
        ],
    )


def _short(entry: dict[str, float | None]) -> str:
    return "undefined" if entry["value"] is None else f"{entry['value']:.2f}"


def _range(entry: dict[str, float | None]) -> str:
    return "undefined" if entry["low"] is None else f"{entry['low']:.2f} to {entry['high']:.2f}"


def _facts(metrics: dict[str, Any], cohort: Cohort, training: Training, section: EvaluateParams) -> list[Fact]:
    test = metrics["test"]
    kind = "" if cohort.task is Task.BINARY else " (mean over classes)"
    sizes = {side: cohort.subset(side).frame for side in Subset}
    return [
        with_interval(f"AUROC on test{kind}", test["auroc"]),
        Fact(
            "Sensitivity / specificity",
            " / ".join(_short(test[name]) for name in ("sensitivity", "specificity")),
            f"{_range(test['sensitivity'])} / {_range(test['specificity'])}; at the threshold chosen on val "
            f"{operating.words(section.threshold)}",
        ),
        Fact("Judged on", f"{test['patients']} patients", f"{test['images']} images, none of whom were trained on"),
        Fact(
            "Trained on",
            f"{sizes[Subset.TRAIN]['patient'].nunique()} patients",
            f"{len(sizes[Subset.TRAIN])} images; {len(sizes[Subset.VAL])} more to tune on; "
            f"batches {', '.join(sorted(sizes[Subset.TRAIN]['batch'].unique()))}",
        ),
        Fact(
            "Trained parameters",
            f"{training['trainable_parameters']:,}",
            f"of {training['parameters']:,}; {training['epochs']} epochs, the best one {training['best_epoch']}",
        ),
    ]


def _forest(metrics: dict[str, Any]) -> Figure:
    data = []
    names = list(reversed(NAMES))
    for side, colour, aside in (("val", "#9aa7b3", -_ASIDE), ("test", "#1f77b4", _ASIDE)):
        entries = [(at + aside, metrics[side][name]) for at, name in enumerate(names)]
        entries = [(at, entry) for at, entry in entries if entry["value"] is not None]
        values = [entry["value"] for _, entry in entries]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": side,
                "x": values,
                "y": [at for at, _ in entries],
                "customdata": [LABELS[names[round(at)]] for at, _ in entries],
                "hovertemplate": "%{customdata}: %{x:.3f}",
                "marker": {"color": colour, "size": 10 if side == "test" else 7},
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": [entry["high"] - entry["value"] for _, entry in entries],
                    "arrayminus": [entry["value"] - entry["low"] for _, entry in entries],
                    "color": colour,
                    "thickness": 1.6,
                },
            }
        )
    rows = {"tickvals": list(range(len(names))), "ticktext": [LABELS[name] for name in names], "zeroline": False}
    layout = {"xaxis": {"range": [0, 1]}, "yaxis": rows, "height": 380}
    caption = "Each metric with its 95 % interval. Val chose the threshold and the epoch; test is what counts."
    return Figure("metrics", "How good, and how sure", caption, data, layout, wide=True)


def _roc(test: Judged, resamples: Resamples) -> Figure:
    curve, band = curves.roc(test), curves.roc_band(test, resamples)
    data: list[dict[str, Any]] = [_line([0, 1], [0, 1], "chance", "#9aa7b3", dash="dot")]
    for number, name in enumerate(curve["class"].unique()):
        colour = COLOURS[number % len(COLOURS)]
        one, around = curve[curve["class"] == name], band[band["class"] == name]
        across = around["fpr"].tolist()
        data.append(
            {
                **_line(across + across[::-1], around["high"].tolist() + around["low"].tolist()[::-1], name, colour),
                "fill": "toself",
                "fillcolor": _faint(colour),
                "line": {"width": 0},
                "hoverinfo": "skip",
                "showlegend": False,
            }
        )
        data.append(_line(one["fpr"].tolist(), one["tpr"].tolist(), name, colour))
    layout = {
        "xaxis": {"title": {"text": "1 - specificity"}, "range": [0, 1]},
        "yaxis": {"title": {"text": "sensitivity"}, "range": [0, 1.01]},
    }
    return Figure("roc", "ROC", "Each class against the rest; bands are 95 % of resamples.", data, layout)


def _precision_recall(test: Judged) -> Figure:
    curve = curves.precision_recall(test)
    data = [
        _line(one["recall"].tolist(), one["precision"].tolist(), str(name), COLOURS[number % len(COLOURS)])
        for number, (name, one) in enumerate(curve.groupby("class", sort=False))
    ]
    layout = {
        "xaxis": {"title": {"text": "recall (sensitivity)"}, "range": [0, 1]},
        "yaxis": {"title": {"text": "precision (PPV)"}, "range": [0, 1.01]},
    }
    caption = "Precision depends on how common a finding is: here, as common as in the test images."
    return Figure("precision-recall", "Precision and recall", caption, data, layout)


def _confusion(test: Judged, cuts: dict[str, float]) -> Figure:
    table = curves.decisions(test, cuts)
    counts = pd.crosstab(table["actual"], table["predicted"])
    names = [name for name in test.classes if name in counts.index or name in counts.columns] or sorted(counts.index)
    if test.task is Task.MULTILABEL:
        names = sorted({*counts.index, *counts.columns})
    counts = counts.reindex(index=names, columns=names, fill_value=0)
    share = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    data = [
        {
            "type": "heatmap",
            "x": names,
            "y": names,
            "z": share.round(4).to_numpy().tolist(),
            "text": [
                [f"{count}<br>{part:.0%}" for count, part in zip(*row, strict=True)] for row in _rows(counts, share)
            ],
            "texttemplate": "%{text}",
            "colorscale": [[0, "rgba(31,119,180,0.03)"], [1, "rgba(31,119,180,0.85)"]],
            "zmin": 0,
            "zmax": 1,
            "showscale": False,
        }
    ]
    layout = {
        "xaxis": {"title": {"text": "predicted"}},
        "yaxis": {"title": {"text": "actual"}, "autorange": "reversed"},
    }
    how = "the most probable class" if test.task is Task.MULTICLASS else "the threshold"
    caption = f"Images, and share of each actual class; decided by {how}."
    return Figure("confusion", "What was taken for what", caption, data, layout)


def _scores(test: Judged) -> list[Figure]:
    figures = []
    for k in test.columns:
        name = test.classes[k]
        data: list[dict[str, Any]] = []
        for number, (value, label) in enumerate(((0.0, f"not {name}"), (1.0, name))):
            scores = test.scores[test.labels[:, k] == value, k]
            data.append(
                {
                    "type": "histogram",
                    "name": label,
                    "x": np.round(scores, 4).tolist(),
                    "xbins": {"start": 0, "end": 1.0001, "size": 0.05},
                    "opacity": 0.65,
                    "marker": {"color": COLOURS[number]},
                }
            )
        layout = {
            "barmode": "overlay",
            "xaxis": {"title": {"text": f"predicted probability of {name}"}, "range": [0, 1]},
            "yaxis": {"title": {"text": "test images"}},
        }
        caption = "The further apart, the better the model tells them apart."
        figures.append(Figure(f"scores-{k}", f"Predicted probability: {name}", caption, data, layout))
    return figures


def _learning(history: pd.DataFrame) -> Figure:
    epochs = history["epoch"].tolist()
    data = [
        _line(epochs, history[column].round(5).tolist(), label, colour)
        for column, label, colour in (
            ("train_loss", "train loss", "#9aa7b3"),
            ("val_loss", "val loss", "#e07b39"),
            ("val_auroc", "val AUROC", "#1f77b4"),
        )
    ]
    layout = {"xaxis": {"title": {"text": "epoch"}}, "yaxis": {"rangemode": "tozero"}}
    return Figure("learning", "Learning curves", "The epoch with the best AUROC on val was kept.", data, layout)


def _table(metrics: dict[str, Any]) -> Table:
    names = ("auprc", "sensitivity", "specificity", "ppv", "npv", "brier")
    rows = [
        [name, *map(shown.stacked, (found["auroc"], found["delong"]["auroc"], *(found[metric] for metric in names)))]
        for name, found in metrics["test"]["per_class"].items()
    ]
    words = ["Brier" if metric == "brier" else LABELS[metric] for metric in names]
    return Table("Class by class, on test", ["class", LABELS["auroc"], "AUROC (DeLong)", *words], rows)


_OWN = {
    "accuracy": ": of the most probable class",
    "balanced_accuracy": ": mean share of each class told right, by the most probable",
    "f1": ": by the most probable class",
    "brier": ": sum over classes",
}
"""What a multi-class task does not average over classes, each against the rest."""


def _more_than_one(metrics: dict[str, Any], task: Task) -> list[Table]:
    """Macro and micro side by side; no table for a binary task, in which they are the same."""
    test = metrics["test"]
    if "micro" not in test:
        return []
    own = _OWN if task is Task.MULTICLASS else {}
    entries = {f"{LABELS[name]}{own.get(name, '')}": (test[name], test["micro"][name]) for name in NAMES}
    rows = [[name, *map(shown.stacked, both)] for name, both in entries.items()]
    head = ["metric", "mean over classes, or as said", "all decisions in one heap (micro), at the thresholds"]
    return [Table("All classes together, on test", head, rows)]


def _operating(metrics: dict[str, Any], section: EvaluateParams) -> Table:
    """What a decision is worth at the threshold, and what it would be worth where the class is rarer or commoner."""
    columns = {
        "sensitivity": "sensitivity",
        "specificity": "specificity",
        "ppv": "PPV",
        "npv": "NPV",
        "lr_positive": "LR+",
        "lr_negative": "LR-",
    }
    if section.prevalence:
        columns |= {"ppv_at_prevalence": "PPV there", "npv_at_prevalence": "NPV there"}
    head = ["class", "threshold", *columns.values()]
    rows = [
        [name, f"{point['threshold']:.3f}", *(shown.stacked(point[key]) if key in point else "-" for key in columns)]
        for name, point in metrics["test"]["operating"].items()
    ]
    if section.prevalence:
        head.insert(-2, "at a prevalence of")
        for row, point in zip(rows, metrics["test"]["operating"].values(), strict=True):
            row.insert(-2, f"{point['prevalence']:g}" if "prevalence" in point else "-")
    return Table(f"Operating points: thresholds chosen on val {operating.words(section.threshold)}", head, rows)


def _notes(task: Task, elsewhere: str) -> list[str]:
    kind = {
        Task.BINARY: "The second class is the positive one; the first is the rest.",
        Task.MULTICLASS: "AUROC, AUPRC, sensitivity and specificity are means over classes, each against the rest.",
        Task.MULTILABEL: "Metrics are means over labels; images whose label is unknown are left out, label by label.",
    }[task]
    return [
        kind,
        "Patients, not images, were held out and resampled: images of one person are not independent.",
        elsewhere,
        "Labels are taken as given. Where they were mined from reports, some errors are the labels', not the model's.",
        "This is research software. It must not be used to diagnose.",
    ]


def _line(x: list[float], y: list[float], name: str, colour: str, dash: str = "solid") -> dict[str, Any]:
    return {"type": "scatter", "mode": "lines", "x": x, "y": y, "name": name, "line": {"color": colour, "dash": dash}}


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.14)"


def _rows(counts: pd.DataFrame, share: pd.DataFrame) -> list[tuple[list[int], list[float]]]:
    return list(zip(counts.to_numpy().tolist(), share.to_numpy().tolist(), strict=True))
