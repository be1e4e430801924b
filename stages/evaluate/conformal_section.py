"""What the report of a recipe says of prediction sets."""

from typing import Any

from stages.reports import shown
from stages.reports.page import Table

_MEANING = (
    "A prediction set holds every answer that is probable enough, so that it holds the truth in the share promised of "
    "new patients like those of val (split-conformal, LAC; each patient counts once). The promise is for all together, "
    "not for each class: look at the rare ones. Val also chose the epoch and the temperature, and another hospital is "
    "not like val, so what test shows counts. Several answers in a set: not sure; none: like nothing that val knew."
)


def table(conformal: dict[str, Any], calibrated: dict[str, Any]) -> Table:
    """From ``conformal`` of a side of evaluation.json, and what val calibrated (``conformal`` at its top)."""
    rows = [_row("all", conformal)]
    for name, entry in conformal["per_class"].items():
        rows.append(_row(name, entry))
        if "yes" in entry:
            rows += [_row(f"  {name}: {answer}", entry[answer]) for answer in ("yes", "no")]
    head = ["images that are", "sets that hold the truth", "answers in a set", "sets of one answer", "empty sets"]
    return Table(f"Prediction sets: promised to hold the truth in {calibrated['coverage']:.0%}", head, rows)


def notes(conformal: dict[str, Any], calibrated: dict[str, Any]) -> list[str]:
    """Sentences for the end of the report."""
    found = [_MEANING]
    high, promised = conformal["coverage"]["high"], calibrated["coverage"]
    if high is not None and high < promised:
        found.append(f"Test breaks the promise: its interval ends at {high:.1%}, below the {promised:.0%} promised.")
    if any(quantile == 1 for quantile in calibrated["quantiles"].values()):
        found.append(
            "Where every set has all answers, val has too few patients, or is told wrong too surely, to promise less."
        )
    return found


def _row(name: str, entry: dict[str, Any]) -> list[str]:
    return [
        name,
        shown.percent(entry["coverage"]),
        shown.number(entry["size"], ".2f"),
        shown.percent(entry["single"]),
        shown.percent(entry["empty"]),
    ]
