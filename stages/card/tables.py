"""The tables of a card: who is in each side of the split, and how the model did."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from stages.artifacts.cohort import Task
from stages.card import facts
from stages.card.facts import Facts

_MOST = 6  # manufacturers, views... of their own line; the rest are one line
_LONG = 40  # rows of what other modules found: more are told in evaluation.json alone
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
    """Each metric on each side, then what other modules found of test, and of external data."""
    sides = [name for name in ("external", "test", "val") if name in found.evaluation]
    order = sorted(sides, key=("test", "external", "val").index)
    judged = {name: found.evaluation[name] for name in order}
    names = list(dict.fromkeys(name for side in judged.values() for name in facts.metrics(side)))
    rows = [[facts.label(name), *(_cell(side.get(name)) for side in judged.values())] for name in names]
    whole = Table(
        "Performance, with 95 % intervals by resampling patients",
        ["metric", *judged],
        rows,
        "Val chose the operating point and the weights that were kept, so its numbers flatter the model.",
    )
    return [whole, *_by_class(found, judged), *_nested(judged)]


def settings(found: Facts) -> Table:
    """The recipe's parameters, with the defaults that apply."""
    rows = [[name, _setting(value)] for name, value in found.settings.model_dump().items()]
    return Table("Settings of training", ["parameter", "value"], [*rows, ["seed", str(found.seed)]])


def rivals(found: Facts) -> Table:
    """The recipes that were compared, by AUROC."""
    rows = [
        [name, _cell(one["test"]["auroc"]), _cell(one["val"]["auroc"]), _difference(one)]
        for name, one in found.comparison["recipes"].items()
    ]
    title = f"Recipes that were compared (the best on val is {found.comparison['best']})"
    return Table(title, ["recipe", "AUROC on test", "AUROC on val", "difference to the best on test"], rows)


def _by_class(found: Facts, judged: Mapping[str, Mapping[str, Any]]) -> list[Table]:
    """Per class; a binary task has one class that counts, told already."""
    if found.cohort.task is Task.BINARY:
        return []
    tables = []
    for side, content in judged.items():
        if side == "val" or not content.get("per_class"):
            continue
        classes = {
            name: _named(content["per_class"][name]) for name in found.cohort.classes if name in content["per_class"]
        }
        names = list(dict.fromkeys(metric for one in classes.values() for metric in one))
        rows = [[name, *(_cell(one.get(metric)) for metric in names)] for name, one in classes.items()]
        tables.append(Table(f"Class by class on {side}", ["class", *map(facts.label, names)], rows))
    return tables


def _named(content: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics of one class; a single one is its AUROC."""
    return {"auroc": content} if facts.is_entry(content) else facts.metrics(content)


def _nested(judged: Mapping[str, Mapping[str, Any]]) -> list[Table]:
    tables = []
    for side, content in judged.items():
        if side == "val":
            continue
        for name, found in content.items():
            if facts.is_entry(found) or not isinstance(found, Mapping | list) or name == "per_class":
                continue
            rows = [[": ".join(map(facts.label, path)), value] for path, value in facts.flat(found)]
            note = f"{len(rows) - _LONG} more rows are in evaluation.json." if len(rows) > _LONG else ""
            title = f"{facts.label(name)[0].upper()}{facts.label(name)[1:]} on {side}"
            tables.append(Table(title, ["", "value"], rows[:_LONG], note))
    return tables


def _cell(found: Mapping[str, Any] | None) -> str:
    return "" if found is None else facts.entry(found)


def _difference(one: Mapping[str, Any]) -> str:
    found = one["difference_to_best"]["auroc"]
    return "the best itself" if found["value"] == found["low"] == found["high"] == 0 else facts.entry(found)


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
