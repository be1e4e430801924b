"""The report's words on what was held out whole: how much of the model is lost elsewhere."""

from collections.abc import Mapping
from typing import Any

from stages.reports import shown
from stages.reports.page import Fact, Table, with_interval

_NAMES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "balanced_accuracy": "Balanced accuracy",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "brier": "Brier score (lower is better)",
}


def facts(metrics: Mapping[str, Any]) -> list[Fact]:
    """For the first screen: AUROC elsewhere, and what is lost on the way; nothing if nothing was held out."""
    side = metrics.get("external")
    if not side:
        return []
    there = with_interval("AUROC elsewhere (external)", side["auroc"])
    lost = with_interval("Test less external", side["drop"]["auroc"])
    where = f"{side['patients']} patients held out whole"
    return [there._replace(note=f"{there.note}; {where}"), lost._replace(note=f"of AUROC; {lost.note}")]


def tables(metrics: Mapping[str, Any]) -> list[Table]:
    """Test beside external, with the drop; nothing if nothing was held out."""
    side = metrics.get("external")
    if not side:
        return []
    rows = [
        [label, *(shown.stacked(entry) for entry in (metrics["test"][name], side[name], side["drop"][name]))]
        for name, label in _NAMES.items()
    ]
    return [
        Table("Elsewhere: what split.external holds out", ["metric", "test", "external", "test less external"], rows)
    ]


def note(metrics: Mapping[str, Any]) -> str:
    """What is known of how the model does elsewhere."""
    if "external" not in metrics:
        return (
            "Test patients are a random part of the same hospitals' patients: nothing is known of how the model does "
            "in others."
        )
    return (
        "Test patients are of the hospitals that trained the model; external ones are of batches or sites that were "
        "held out whole. Another hospital still may be unlike both."
    )
