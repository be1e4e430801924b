"""Shortcuts on a page: what else than the disease tells the label, beside what the model makes of the images."""

from collections.abc import Mapping

from stages.artifacts.shortcuts import Shortcuts
from stages.reports import shown
from stages.reports.page import Fact, Table

_CHECKS = {
    "nuisance": "image size, borders, grey levels, file format",
    "metadata": "batch, site, scanner, view",
    "demographics": "age and sex",
}


def fact(found: Shortcuts) -> Fact:
    """For the first screen."""
    count = len(found["warnings"])
    if not count:
        return Fact("Shortcuts", "none found", "nuisances and metadata do not tell the label: see below")
    return Fact("Shortcuts", f"{count} warning{'s' if count > 1 else ''}", found["warnings"][0].partition(":")[0])


def table(found: Shortcuts, auroc: Mapping[str, float | None] | None = None) -> Table:
    """Every check with its AUROC on test and its verdict; ``auroc`` is the model's own on test, for comparison."""
    rows = [["the model, from the image", "the label", shown.number(auroc), ""]] if auroc else []
    for name, words in _CHECKS.items():
        check = found["labels"][name]
        rows.append([words, "the label", shown.number(check["auroc"]), check["verdict"]])
        for label, entry in check["per_class"].items() if len(check["per_class"]) > 1 else ():
            rows.append(["", label, shown.number(entry), ""])
    for column, origin in found["origins"].items():
        rows.append([f"the {column}", origin["class"], shown.number(origin["label_from_origin"]), origin["verdict"]])
        rows.append(["the frozen backbone's features", f"a {column}", shown.number(origin["from_features"]), ""])
        rows.append([_CHECKS["nuisance"], f"a {column}", shown.number(origin["from_nuisance"]), ""])
    for name, chance in found["permuted"].items():
        what = "the frozen backbone's features" if name == "features" else _CHECKS[name]
        spread = "-" if chance["mean"] is None else f"{chance['mean']:.3f} (sd {chance['sd']:.3f})"
        rows.append([what, "permuted labels", spread, chance["verdict"]])
    return Table("What else tells the label", ["from", "is told", "AUROC on test", "verdict"], rows, words=(0, 1))


def notes(found: Shortcuts, auroc: Mapping[str, float | None] | None = None) -> list[str]:
    """The warnings in words; with the model's own ``auroc``, whether it does better than nuisances alone."""
    said = [f"Warning: {warning}" for warning in found["warnings"]]
    nuisance = found["labels"]["nuisance"]["auroc"]
    if auroc and _above(nuisance["value"], auroc["low"]):
        said.append(
            f"Warning: nuisances alone reach AUROC {nuisance['value']:.3f}, which is not below the model's interval "
            f"({auroc['low']:.3f} to {auroc['high']:.3f}): nothing shows that it has learnt more than they tell."
        )
    return said


def _above(value: float | None, low: float | None) -> bool:
    return value is not None and low is not None and value >= low
