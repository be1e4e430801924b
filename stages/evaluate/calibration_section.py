"""What the report of a recipe says of calibration."""

from typing import Any

import pandas as pd

from stages.reports import shown
from stages.reports.page import COLOURS, Figure, Table

_OUTCOMES = {
    "fitted": "It is val's: its images are likeliest at it.",
    "limited": "Val's images would be likelier still beyond it, but it is kept between 0.1 and 10.",
    "undetermined": "Every image of val is told right, so val cannot say how sure is too sure; it stays 1.",
}

_ORDER = (
    "It changes neither an image's most probable class nor the order of images by a label or by one of two classes; "
    "among three classes or more the order of images by one of them can change."
)
_ELSEWHERE = (
    "Calibration is of these patients, where findings are as common as here. Elsewhere, or if classes were weighed or "
    "drawn equally in training, probabilities can be off as a whole: look at the intercept in the large."
)
_EXCESS = (
    "An ECE is above 0 even of a perfect model, for images are few: what chance alone gives stands beside it. Its "
    "interval has that excess taken off, and so can end below the value."
)


def figure(diagram: pd.DataFrame) -> Figure:
    """The reliability diagram, from :func:`stages.judging.calibration.diagram`."""
    data: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [0, 1],
            "y": [0, 1],
            "name": "as said",
            "line": {"color": "#9aa7b3", "dash": "dot"},
        }
    ]
    for number, (name, one) in enumerate(diagram.groupby("class", sort=False)):
        colour = COLOURS[number % len(COLOURS)]
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": str(name),
                "x": one["predicted"].tolist(),
                "y": one["observed"].tolist(),
                "customdata": one[["images", "patients"]].to_numpy().tolist(),
                "hovertemplate": "said %{x:.3f}, is %{y:.3f}<br>%{customdata[0]} images, %{customdata[1]} patients",
                "line": {"color": colour},
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": (one["high"] - one["observed"]).clip(lower=0).tolist(),
                    "arrayminus": (one["observed"] - one["low"]).clip(lower=0).tolist(),
                    "color": colour,
                    "thickness": 1,
                },
            }
        )
    layout = {
        "xaxis": {"title": {"text": "predicted probability"}, "range": [0, 1]},
        "yaxis": {"title": {"text": "share of images that have it"}, "range": [0, 1.01]},
    }
    caption = (
        "Test images in bins of equal size. On the dotted line probabilities mean what they say; below it the model "
        "expects more than there is. Intervals are 95 %."
    )
    return Figure("reliability", "Calibration: does 0.8 mean four in five?", caption, data, layout)


def table(calibration: dict[str, Any]) -> Table:
    """Class by class, at the model's temperature and at 1, from ``calibration`` of a side of evaluation.json."""
    rows = []
    for name, entry in calibration["per_class"].items():
        before = calibration["uncalibrated"]["per_class"][name]
        rows.append(
            [
                name,
                _both(entry, before, "ece"),
                _chance(entry["ece_by_chance"]),
                _both(entry, before, "slope"),
                _both(entry, before, "in_the_large"),
                _both(entry, before, "brier"),
            ]
        )
    if "top_class" in calibration:
        entry, before = calibration["top_class"], calibration["uncalibrated"]["top_class"]
        rows.append(
            ["the most probable class", _both(entry, before, "ece"), _chance(entry["ece_by_chance"]), "", "", ""]
        )
    head = [
        "class (below: at temperature 1)",
        "calibration error (ECE)",
        "ECE by chance alone",
        "slope (1: as sure as it should be)",
        "intercept in the large (0: right on average)",
        "Brier score",
    ]
    return Table("Calibration on test", head, rows)


def parts(calibration: dict[str, Any]) -> Table:
    """What the Brier score is made of."""
    rows = [
        ["all" if name is None else name, *(shown.number(entry[part]) for part in ("brier", *_SIGNS))]
        for name, entry in [(None, calibration), *calibration["per_class"].items()]
    ]
    rows = rows[1:] if len(rows) == 2 else rows  # noqa: PLR2004 - one class is all there is
    return Table("What the Brier score is made of", ["class", "Brier score", *_SIGNS.values()], rows)


_SIGNS = {
    "reliability": "= reliability (lower is better)",
    "resolution": "- resolution (higher is better)",
    "uncertainty": "+ uncertainty (of the images)",
    "within_bins": "+ within bins",
}


def notes(temperature: float, outcome: str) -> list[str]:
    """Sentences for the end of the report; ``outcome`` as in training.json."""
    chosen = f"Logits are divided by a temperature of {temperature:.3g} before they become probabilities."
    return [" ".join([chosen, _OUTCOMES[outcome], _ORDER]), _ELSEWHERE, _EXCESS]


def _both(entry: dict[str, Any], before: dict[str, Any], name: str) -> str:
    return f"{shown.number(entry[name])}\n{shown.number(before[name])}"


def _chance(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
