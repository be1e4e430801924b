"""Cross-validation as figures and tables, for a page of its own and for the comparison of recipes."""

from collections.abc import Mapping, Sequence
from typing import Any

from stages.reports import shown
from stages.reports.page import Figure, Table

_DOTS, _MEAN, _POOLED = "#9aa7b3", "#1769aa", "#e07b39"

NOTES = (
    "Cross-validation judges a recipe: each fold has a model of its own, and none of them is the one registered.",
    "Intervals are of patients like those judged, given the models: other training patients are not in them.",
    "The sd over folds is no standard error of their mean: the models share most of their training patients.",
)
"""For the page that shows :func:`comparison`."""


def comparison(found: Mapping[str, Mapping[str, Any]]) -> Table:
    """Recipes side by side, with links to their pages; ``found`` is each one's crossval.json."""
    rows: list[Sequence[str | tuple[str, str]]] = [
        [
            (name, f"folds/{name}/report.html"),
            interval(one["mean"]["auroc"]),
            _number(one["spread"]["auroc"]["sd"]),
            f"{_number(one['spread']['auroc']['min'])} to {_number(one['spread']['auroc']['max'])}",
            interval(one["pooled"]["auroc"]),
            f"{one['patients']:,}",
            f"{len(one['folds'])}",
        ]
        for name, one in found.items()
    ]
    head = ["recipe", "AUROC, mean of folds", "sd", "lowest to highest", "AUROC, pooled", "patients judged", "folds"]
    return Table("Cross-validation (patients of train and val)", head, rows)


def forest(found: Mapping[str, Any]) -> Figure:
    """AUROC of each fold, of their mean and of the pooled predictions, with intervals; ``found`` is a crossval.json."""
    entries = [(f"fold {one['fold']}", one["auroc"], _DOTS) for one in found["folds"]]
    entries += [("mean of folds", found["mean"]["auroc"], _MEAN), ("pooled", found["pooled"]["auroc"], _POOLED)]
    shown = [(name, entry, colour) for name, entry, colour in entries[::-1] if _whole(entry)]
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "showlegend": False,
            "x": [entry["value"] for _, entry, _ in shown],
            "y": [name for name, _, _ in shown],
            "marker": {"size": 11, "color": [colour for _, _, colour in shown]},
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [entry["high"] - entry["value"] for _, entry, _ in shown],
                "arrayminus": [entry["value"] - entry["low"] for _, entry, _ in shown],
                "color": _DOTS,
            },
        }
    ]
    layout = {"xaxis": {"title": {"text": "AUROC"}}, "height": 150 + 36 * len(shown)}
    caption = "Each fold's model on patients it never saw. Bars: 95 % intervals, by resampling patients."
    return Figure("folds", "How good, fold by fold", caption, data, layout, wide=True)


def interval(entry: Mapping[str, float | None]) -> str:
    """``0.870 [0.820, 0.910]``, or a dash where there is no value."""
    return shown.number(entry) if _whole(entry) else "-"


def _whole(entry: Mapping[str, float | None]) -> bool:
    return all(entry[name] is not None for name in ("value", "low", "high"))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
