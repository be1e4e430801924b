"""What the report of a recipe says of passing on what the model is unsure of."""

from typing import Any

import pandas as pd

from stages.reports import shown
from stages.reports.page import COLOURS, Figure, Table


def figure(curve: pd.DataFrame, abstention: dict[str, Any]) -> Figure:
    """Risk against coverage, from :func:`stages.judging.abstention.curve` and ``abstention`` of a side."""
    data: list[dict[str, Any]] = []
    for number, (name, one) in enumerate(curve.dropna().groupby("class", sort=False)):
        colour = COLOURS[number % len(COLOURS)]
        label = "errors" if name == "all" else str(name)
        line = {"x": one["coverage"].tolist(), "y": one["risk"].tolist(), "line": {"color": colour}}
        data.append({"type": "scatter", "mode": "lines", "name": label, **line})
        entries = (abstention["per_class"][name] if "per_class" in abstention else abstention)["risk"]
        known = [(float(at), entry) for at, entry in entries.items() if entry["low"] is not None]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "showlegend": False,
                "hoverinfo": "skip",
                "x": [at for at, _ in known],
                "y": [entry["value"] for _, entry in known],
                "marker": {"color": colour, "size": 6},
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": [entry["high"] - entry["value"] for _, entry in known],
                    "arrayminus": [entry["value"] - entry["low"] for _, entry in known],
                    "color": colour,
                    "thickness": 1,
                },
            }
        )
    layout = {
        "xaxis": {"title": {"text": "share of images that the model decides, the surest first"}, "range": [0, 1.01]},
        "yaxis": {"title": {"text": "share of these that are wrong"}, "rangemode": "tozero"},
    }
    caption = "How much fewer errors there are if a person reads what the model is least sure of. Intervals are 95 %."
    return Figure("abstention", "Errors, if the model may pass", caption, data, layout)


def table(abstention: dict[str, Any]) -> Table:
    """Errors at each coverage, and the area under the curve."""
    coverages = list(abstention["risk"])
    rows = [
        [name, *(shown.percent(entry["risk"][at]) for at in coverages), shown.number(entry["area"])]
        for name, entry in [("all", abstention), *abstention.get("per_class", {}).items()]
    ]
    head = ["label", *(f"wrong of the surest {float(at):.0%}" for at in coverages), "area under the curve"]
    return Table("Errors, if the model may pass", head, rows)
