"""The tables of a card: who is in each side of the split, and how the model did."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from stages.artifacts.cohort import Task
from stages.card import facts
from stages.card.facts import Facts

_MOST = 6  # manufacturers, views... of their own line; the rest are one line
_LONG = 40  # rows of what other modules found: more are told in evaluation.json alone
_OF_A_CLASS = ("auroc", "auprc", "accuracy", "balanced_accuracy", "f1", "brier")
_OF_A_POINT = ("threshold", "sensitivity", "specificity", "ppv", "npv", "lr_positive", "lr_negative")
_AT_PREVALENCE = ("prevalence", "ppv_at_prevalence", "npv_at_prevalence")
_TITLES = {
    "micro": "micro averages: all pairs of an image and a class",
    "conformal": "conformal prediction sets",
    "abstention": "abstention: the risk at each coverage",
    "drop": "drop from test to external data",
}
NOT_STATED = "not stated"


class Table(NamedTuple):
    """Cells as text; the first column names the row."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def cohort(found: Facts) -> Table:
    """Characteristics of patients and images on each side of the split."""
    sides = {name: found.side(name) for name in found.sides}
    people = {name: rows.drop_duplicates("patient") for name, rows in sides.items()}
    lines = [
        _line("Patients", people, lambda rows: f"{len(rows):,}"),
        _line("Studies", sides, lambda rows: f"{rows['study'].nunique():,}"),
        _line("Images", sides, lambda rows: f"{len(rows):,}"),
        _line("Age of patients in years: median (quartiles)", people, lambda rows: _quartiles(rows["age"])),
        *_shares("Sex of patients", "sex", people),
        *[_labels(name, sides) for name in found.cohort.classes],
        _line("Sites", sides, lambda rows: f"{rows['site'].nunique():,}"),
        *_shares("Batch", "batch", sides),
        *_shares("Modality", "modality", sides),
        *_shares("Manufacturer", "manufacturer", sides),
        *_shares("Body part", "body_part", sides),
        *_shares("View", "view", sides),
    ]
    note = "Percentages are of patients for sex, of images with a known label for labels, of images for the rest."
    if found.cohort.frame["age"].max() >= 90:  # noqa: PLR2004 - as ingest writes it
        note += " Ages above 89 are given as 90."
    return Table("Patients and images on each side of the split", ["", *sides], lines, note)


def performance(found: Facts) -> list[Table]:
    """Each metric on each side, then what was found of each class and group of test, and of external data."""
    order = [name for name in ("test", "external", "val") if name in found.evaluation]
    judged = {name: found.evaluation[name] for name in order}
    names = list(dict.fromkeys(name for side in judged.values() for name in facts.metrics(side)))
    rows = [[facts.label(name), *(_cell(side.get(name)) for side in judged.values())] for name in names]
    if any("delong" in side for side in judged.values()):
        areas = [side.get("delong", {}).get("auroc") for side in judged.values()]
        rows.insert(1, ["AUROC, interval by DeLong", *map(_cell, areas)])
    whole = Table(
        "Performance, with 95 % intervals by resampling patients",
        ["metric", *judged],
        rows,
        "Val chose the operating point and the weights that were kept, so its numbers flatter the model.",
    )
    shown = {side: content for side, content in judged.items() if side != "val"}
    return [whole, *_by_class(found, shown), *_operating(found, shown), *_others(shown)]


def settings(found: Facts) -> Table:
    """The recipe's parameters, with the defaults that apply."""
    rows = [[name, _setting(value)] for name, value in found.settings.model_dump().items()]
    return Table("Settings of training", ["parameter", "value"], [*rows, ["seed", str(found.seed)]])


def rivals(found: Facts) -> Table:
    """The recipes that were compared, by AUROC."""
    rows = []
    for name, one in found.comparison["recipes"].items():
        apart = one["difference_to_best"]
        difference = "the best itself" if apart is None else _cell(apart["auroc"])
        p = "" if apart is None else _p(apart["delong"]["p_holm"])
        rows.append([name, _cell(one["test"]["auroc"]), _cell(one["val"]["auroc"]), difference, p])
    return Table(
        f"Recipes that were compared (the best on val is {found.comparison['best']})",
        ["recipe", "AUROC on test", "AUROC on val", "difference to the best on test", "p"],
        rows,
        "Differences are paired: the same patients for both. p: DeLong's test by patient, adjusted by Holm.",
    )


def _by_class(found: Facts, judged: Mapping[str, Mapping[str, Any]]) -> list[Table]:
    """Per class; a binary task has one class that counts, told already."""
    if found.cohort.task is Task.BINARY:
        return []
    head = ["class", *map(facts.label, _OF_A_CLASS)]
    return [
        Table(
            f"Class by class on {side}",
            head,
            [
                [name, *(_cell(content["per_class"][name][metric]) for metric in _OF_A_CLASS)]
                for name in found.cohort.classes
            ],
        )
        for side, content in judged.items()
    ]


def _operating(found: Facts, judged: Mapping[str, Mapping[str, Any]]) -> list[Table]:
    """What the threshold of each class is worth."""
    tables = []
    for side, content in judged.items():
        points = {name: content["operating"][name] for name in found.cohort.classes if name in content["operating"]}
        stated = any("prevalence" in point for point in points.values())
        names = (*_OF_A_POINT, *(_AT_PREVALENCE if stated else ()))
        rows = [[name, *(_cell(point.get(metric)) for metric in names)] for name, point in points.items()]
        note = f"{facts.thresholds(found).partition(':')[0]}."
        tables.append(Table(f"Operating points on {side}", ["class", *map(facts.label, names)], rows, note))
    return tables


def _others(judged: Mapping[str, Mapping[str, Any]]) -> list[Table]:
    """What else stands in each side: the modules that judge add what they find."""
    told = {"per_class", "delong", "operating"}
    return [
        _subgroups(side, found)
        if name == "subgroups"
        else _any(f"{_TITLES.get(name, facts.label(name))} on {side}", found)
        for side, content in judged.items()
        for name, found in content.items()
        if isinstance(found, Mapping) and not facts.is_entry(found) and name not in told
    ]


def _subgroups(side: str, found: Mapping[str, Any]) -> Table:
    """A line for each group."""
    rows = []
    for attribute, groups in found.items():
        for name, group in groups.items():
            area = group.get("auroc")
            gap = area.get("gap") if area else None
            said = (
                ["too few to say", "", ""] if area is None else [_cell(area), _cell(gap), _p(gap and gap.get("p_holm"))]
            )
            rows.append([f"{facts.label(attribute)}: {name}", f"{group['patients']:,}", *said])
    note = "The gap is the group less all others; p is adjusted by Holm over all gaps."
    return Table(f"Subgroups on {side}", ["group", "patients", "AUROC", "gap to the others", "p"], rows, note)


def _any(title: str, found: Mapping[str, Any]) -> Table:
    rows = [[": ".join(map(facts.label, path)), value] for path, value in facts.flat(found)]
    note = f"{len(rows) - _LONG} more rows are in evaluation.json." if len(rows) > _LONG else ""
    return Table(f"{title[0].upper()}{title[1:]}", ["", "value"], rows[:_LONG], note)


def _cell(found: Mapping[str, Any] | float | None) -> str:
    """A metric with its interval, a bare number, or nothing."""
    if found is None:
        return ""
    return facts.entry(found) if isinstance(found, Mapping) else f"{found:.3f}"


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"  # noqa: PLR2004 - as journals write it


def _setting(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {given}" for name, given in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)


def _line(name: str, sides: Mapping[str, pd.DataFrame], say: Callable[[pd.DataFrame], str]) -> list[str]:
    return [name, *(say(rows) for rows in sides.values())]


def _shares(title: str, column: str, sides: Mapping[str, pd.DataFrame]) -> list[list[str]]:
    """A line for each value of a column, the most frequent first."""
    given = {side: rows[column].fillna(NOT_STATED) for side, rows in sides.items()}
    together = pd.concat(list(given.values()))
    counts = together.value_counts()
    names = sorted(counts.index, key=lambda name: (name == NOT_STATED, -counts[name], name))
    kept = names if len(names) <= _MOST else names[: _MOST - 1]
    lines = [
        [f"{title}: {name}", *(_share(int((values == name).sum()), len(values)) for values in given.values())]
        for name in kept
    ]
    if rest := names[len(kept) :]:
        others = [_share(int(values.isin(rest).sum()), len(values)) for values in given.values()]
        lines.append([f"{title}: {len(rest)} others", *others])
    return lines


def _labels(name: str, sides: Mapping[str, pd.DataFrame]) -> list[str]:
    return _line(f"Label: {name}", sides, lambda rows: _positive(rows[f"label:{name}"]))


def _share(part: int, whole: int) -> str:
    return f"{part:,} ({100 * part / whole:.0f} %)"


def _positive(labels: pd.Series) -> str:
    known = labels.dropna()
    said = _share(int((known == 1).sum()), len(known)) if len(known) else "none is known"
    return said if len(known) == len(labels) else f"{said}; {len(labels) - len(known):,} unknown"


def _quartiles(ages: pd.Series) -> str:
    known = ages.dropna()
    if known.empty:
        return NOT_STATED
    low, middle, high = known.quantile([0.25, 0.5, 0.75])
    missing = f"; {len(ages) - len(known):,} {NOT_STATED}" if len(known) < len(ages) else ""
    return f"{middle:.0f} ({low:.0f} to {high:.0f}){missing}"
