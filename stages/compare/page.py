"""The comparison as a page."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from stages.artifacts.intake import Counts, Intake
from stages.artifacts.shortcuts import Shortcuts
from stages.reasons import Reason
from stages.reports import shortcuts, shown
from stages.reports.page import Fact, Figure, Page, Table, with_interval

_CHOSEN, _OTHER = "#1769aa", "#9aa7b3"


def build(
    comparison: Mapping[str, Any],
    roc: Mapping[str, pd.DataFrame],
    counts: Mapping[str, Any],
    intake: Intake,
    found: Shortcuts,
) -> Page:
    """The page.

    ``roc`` is each recipe's curve on test, ``counts`` the cohort's, ``intake`` the files that came in, ``found`` what
    else than the disease tells the label.
    """
    recipes, best = comparison["recipes"], comparison["best"]
    chosen, test = recipes[best], counts["test"]
    return Page(
        title="Recipes compared",
        lead=(
            f"Every recipe was trained on the same patients and judged on the same {test['patients']} others. "
            f"The chosen one is '{best}': it has the highest AUROC on val. Test had no say in it. Intervals are 95 %."
        ),
        facts=[
            Fact("Chosen by val", best, f"{chosen['architecture']}, {chosen['strategy']}, from '{chosen['weights']}'"),
            with_interval("Its AUROC on test", chosen["test"]["auroc"]),
            *_held_out(chosen["external"]),
            Fact("Judged on", f"{test['patients']} patients", f"{test['images']} images"),
            Fact("Test has judged", f"{comparison['test_looks']} models", "as reports/test_looks.csv has it"),
            Fact("Trained on", f"{counts['train']['patients']} patients", f"{counts['train']['images']} images"),
            shortcuts.fact(found),
        ],
        figures=[_forest(recipes, best), *_difference(recipes, best), _cost(recipes, best), *_roc(roc)],
        tables=[
            _table(recipes, best),
            *_chance(recipes, best),
            *_elsewhere(recipes),
            shortcuts.table(found, chosen["test"]["auroc"]),
            _came_in(intake),
            *_left_out(intake),
        ],
        notes=[
            *shortcuts.notes(found, chosen["test"]["auroc"]),
            "A difference whose interval holds 0 may be chance. Holm's p values allow for the number of recipes.",
            "Cost is counted, not timed, so that the same results give the same page; see 'radrepro results'.",
            "Of the files that are used, images without a label are in no side of the split.",
            "The more models one test side has judged, the more the best of them owes to luck.",
        ],
    )


def _forest(recipes: Mapping[str, Any], best: str) -> Figure:
    names = list(recipes)[::-1]
    entries = [recipes[name]["test"]["auroc"] for name in names]
    data = [
        _dots(names, entries, "test", [_CHOSEN if name == best else _OTHER for name in names]),
        {
            "type": "scatter",
            "mode": "markers",
            "name": "val",
            "x": [recipes[name]["val"]["auroc"]["value"] for name in names],
            "y": names,
            "marker": {"symbol": "line-ns-open", "size": 16, "color": "#e07b39"},
        },
    ]
    layout = {"xaxis": {"title": {"text": "AUROC"}}, "height": 150 + 60 * len(names)}
    caption = "Dots and bars: test, with its interval. Ticks: val, which chose the recipe in blue."
    return Figure("auroc", "How good is each?", caption, data, layout, wide=True)


def _difference(recipes: Mapping[str, Any], best: str) -> list[Figure]:
    names = [name for name in list(recipes)[::-1] if name != best]
    if not names:
        return []
    entries = [recipes[name]["difference_to_best"]["auroc"] for name in names]
    layout = {
        "xaxis": {"title": {"text": f"difference in test AUROC to {best}"}, "zeroline": True},
        "shapes": [{"type": "line", "x0": 0, "x1": 0, "yref": "paper", "y0": 0, "y1": 1, "line": {"dash": "dot"}}],
    }
    caption = "Paired: the same resampled patients for both. Left of 0: worse than the chosen one."
    colours = [_OTHER] * len(names)
    return [Figure("difference", "Is it more than chance?", caption, [_dots(names, entries, "", colours)], layout)]


def _cost(recipes: Mapping[str, Any], best: str) -> Figure:
    trained = [max(entry["trainable_parameters"], 1) for entry in recipes.values()]
    room = [math.log10(min(trained)) - 0.8, math.log10(max(trained)) + 0.8]  # for names, either side
    data = [
        {
            "type": "scatter",
            "mode": "markers+text",
            "x": trained,
            "y": [entry["test"]["auroc"]["value"] for entry in recipes.values()],
            "text": list(recipes),
            "textposition": "top center",
            "cliponaxis": False,
            "marker": {"size": 12, "color": [_CHOSEN if name == best else _OTHER for name in recipes]},
        }
    ]
    layout = {
        "xaxis": {"title": {"text": "trained parameters"}, "type": "log", "range": room},
        "yaxis": {"title": {"text": "test AUROC"}},
    }
    return Figure("cost", "What does it cost?", "Further left is cheaper, higher is better.", data, layout)


def _roc(curves: Mapping[str, pd.DataFrame]) -> list[Figure]:
    classes = next(iter(curves.values()))["class"].unique()
    figures = []
    for number, label in enumerate(classes):
        data = [
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": curve.loc[curve["class"] == label, "fpr"].tolist(),
                "y": curve.loc[curve["class"] == label, "tpr"].tolist(),
            }
            for name, curve in curves.items()
        ]
        layout = {"xaxis": {"title": {"text": "1 - specificity"}}, "yaxis": {"title": {"text": "sensitivity"}}}
        figures.append(Figure(f"roc-{number}", f"ROC: {label}", "Against the rest, on test.", data, layout))
    return figures


def _table(recipes: Mapping[str, Any], best: str) -> Table:
    rows: list[list[str | tuple[str, str]]] = [
        [
            (f"{name} (chosen)" if name == best else name, f"recipes/{name}/report.html"),
            shown.stacked(entry["test"]["auroc"]),
            shown.stacked(entry["test"]["auprc"]),
            shown.stacked(entry["test"]["balanced_accuracy"]),
            _value(entry["val"]["auroc"]),
            f"{entry['trainable_parameters']:,}",
            f"{entry['epochs']}",
            f"{entry['images_seen']:,}",
        ]
        for name, entry in recipes.items()
    ]
    head = ["recipe", "AUROC", "AUPRC", "balanced accuracy", "val AUROC", "trained parameters", "epochs", "images seen"]
    return Table("Side by side (test)", head, rows)


def _held_out(external: Mapping[str, Any] | None) -> list[Fact]:
    """For the first screen, what is lost elsewhere; nothing if nothing was held out whole."""
    if external is None:
        return []
    area, drop = external["auroc"], external["drop"]
    lost = "undefined" if drop["value"] is None else f"{drop['value']:+.3f} ({drop['low']:+.3f} to {drop['high']:+.3f})"
    return [
        with_interval("Its AUROC elsewhere (external)", area),
        Fact("Lost on the way there", lost, "AUROC on test less external"),
    ]


def _elsewhere(recipes: Mapping[str, Any]) -> list[Table]:
    rows = [
        [
            name,
            shown.stacked(entry["test"]["auroc"]),
            shown.stacked(external["auroc"]),
            shown.stacked(external["drop"], "+.3f"),
        ]
        for name, entry in recipes.items()
        if (external := entry["external"]) is not None
    ]
    head = ["recipe", "AUROC on test", "AUROC on external", "test less external"]
    return [Table("Elsewhere: on what was held out whole", head, rows)] if rows else []


def _chance(recipes: Mapping[str, Any], best: str) -> list[Table]:
    """The tests of each difference to the chosen recipe; no table where there is one recipe alone."""
    rows = [
        [
            name,
            shown.stacked(found["auroc"], "+.3f"),
            _p(found["delong"]["p"]),
            _p(found["delong"]["p_holm"]),
            f"{found['mcnemar']['only_first']} / {found['mcnemar']['only_second']}",
            _p(found["mcnemar"]["p"]),
            _p(found["mcnemar"]["p_holm"]),
        ]
        for name, entry in recipes.items()
        if (found := entry["difference_to_best"]) is not None
    ]
    head = [
        f"less {best}",
        "difference in AUROC",
        "DeLong p",
        "Holm",
        f"right where the other is wrong: it / {best}",
        "McNemar p",
        "Holm",
    ]
    return [Table("Tests of the differences (paired by patient, on test)", head, rows)] if rows else []


def _came_in(intake: Intake) -> Table:
    """Where every file went: used, duplicate, or quarantined."""
    batches = intake["batches"]
    rows = [_outcomes(name, counts) for name, counts in batches.items()]
    rows += [_outcomes("all", intake["total"])] if len(batches) > 1 else []
    return Table("What came in", ["batch", "files", "used", "images of them", "duplicates", "quarantined"], rows)


def _outcomes(name: str, counts: Counts) -> list[str]:
    numbers = [counts["files"], counts["used"], counts["images"], counts["duplicates"], counts["quarantined"]]
    return [name, *(f"{number:,}" for number in numbers)]


def _left_out(intake: Intake) -> list[Table]:
    """Duplicates and quarantined files by reason; no table where every file is used."""
    rows = [
        [name, reason, f"{files:,}", Reason[reason].value]
        for name, counts in intake["batches"].items()
        for reason, files in counts["reasons"].items()
    ]
    head = ["batch", "reason", "files", "what it means and what to do"]
    return [Table("What is not used, and why", head, rows, words=(1, 3))] if rows else []


def _dots(names: list[str], entries: list[dict[str, float | None]], label: str, colours: list[str]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": label,
        "showlegend": bool(label),
        "x": [entry["value"] for entry in entries],
        "y": names,
        "marker": {"size": 11, "color": colours},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [_gap(entry["high"], entry["value"]) for entry in entries],
            "arrayminus": [_gap(entry["value"], entry["low"]) for entry in entries],
            "color": _OTHER,
        },
    }


def _value(entry: Mapping[str, float | None]) -> str:
    return "-" if entry["value"] is None else f"{entry['value']:.3f}"


def _p(value: float | None) -> str:
    if value is None:
        return "-"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"  # noqa: PLR2004 - as journals print it


def _gap(above: float | None, below: float | None) -> float | None:
    return None if above is None or below is None else above - below
