"""Subgroups in the report: who the model works for, gaps to everybody else, and who is too few to say."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stages.judging.subgroups import NOT_STATED
from stages.reports import shown
from stages.reports.page import Figure, Table

_NAMES = {"auroc": "AUROC", "sensitivity": "Sensitivity", "specificity": "Specificity"}
_ATTRIBUTES = {"body_part": "body part"}
_PLAIN, _FLAGGED = "#1769aa", "#c2452d"
_KEY = 16  # hexadecimal digits or more are a keyed hash, cut to _SHORT of them
_SHORT = 8


def figure(subgroups: Mapping[str, Any], whole: Mapping[str, float | None], classes: Sequence[str]) -> list[Figure]:
    """AUROC of each group that is compared with the rest over the same ``classes`` as ``whole``, that of all.

    Nothing if no group is large enough.
    """
    shown = [
        (name, group["auroc"])
        for name, group in _each(subgroups)
        if "auroc" in group and group["auroc"]["gap"] and group["auroc"]["classes"] == list(classes)
    ]
    if not shown or whole["value"] is None:
        return []
    names, entries = [name for name, _ in shown][::-1], [entry for _, entry in shown][::-1]
    flagged = [bool(entry["gap"] and entry["gap"]["flag"]) for entry in entries]
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": label,
            "x": [entry["value"] for entry, mark in zip(entries, flagged, strict=True) if mark is flag],
            "y": [name for name, mark in zip(names, flagged, strict=True) if mark is flag],
            "marker": {"color": colour, "size": 9, "symbol": symbol},
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [e["high"] - e["value"] for e, mark in zip(entries, flagged, strict=True) if mark is flag],
                "arrayminus": [e["value"] - e["low"] for e, mark in zip(entries, flagged, strict=True) if mark is flag],
                "color": colour,
            },
        }
        for flag, label, colour, symbol in (
            (False, "no gap shown", _PLAIN, "circle"),
            (True, "gap to the rest", _FLAGGED, "diamond"),
        )
    ]
    line = {"type": "line", "x0": whole["value"], "x1": whole["value"], "yref": "paper", "y0": 0, "y1": 1}
    layout = {
        "xaxis": {"title": {"text": "AUROC on test"}},
        "yaxis": {"categoryorder": "array", "categoryarray": names},
        "shapes": [{**line, "line": {"dash": "dot", "color": "#9aa7b3"}}],
        "height": 140 + 26 * len(names),
    }
    caption = (
        "Dotted: all of test. A diamond has a gap to the rest whose 95 % interval excludes 0; of many groups some do "
        "so by chance: see the adjusted p below."
    )
    return [Figure("subgroups", "Who does it work for?", caption, data, layout, wide=True)]


def tables(subgroups: Mapping[str, Any], smallest: int) -> list[Table]:
    """Groups with their gaps to the rest, and the groups that are too small; no table where there is none."""
    judged = [
        [
            name,
            f"{group['images']:,} / {group['patients']:,}",
            "\n".join(group["auroc"]["classes"]),
            *(cell for metric in _NAMES for cell in (shown.stacked(group[metric]), _gap(group[metric]["gap"]))),
        ]
        for name, group in _each(subgroups)
        if "auroc" in group
    ]
    small = [
        [
            name,
            f"{group['images']:,}",
            f"{group['patients']:,}",
            ", ".join(f"{n:,} {label}" for label, n in group["positives"].items()),
        ]
        for name, group in _each(subgroups)
        if "auroc" not in group
    ]
    head = [
        "group",
        "images / patients",
        "judged by",
        *(cell for name in _NAMES.values() for cell in (name, "less the rest")),
    ]
    titles = "Subgroups of test", f"Too few to say: under {smallest} patients with a finding, or without"
    found = [Table(titles[0], head, judged)] if judged else []
    return found + ([Table(titles[1], ["group", "images", "patients", "positive images"], small)] if small else [])


def notes(subgroups: Mapping[str, Any]) -> list[str]:
    """What the flags are worth; nothing where no group was compared."""
    gaps = [
        (f"{name} ({_NAMES[metric]})", group[metric]["gap"])
        for name, group in _each(subgroups)
        for metric in _NAMES
        if metric in group and group[metric]["gap"]
    ]
    if not gaps:
        return []
    flagged = sum(gap["flag"] for _, gap in gaps)
    sure = [name for name, gap in gaps if gap["p_holm"] is not None and gap["p_holm"] < 0.05]  # noqa: PLR2004
    said = (
        f"Of {len(gaps)} gaps between subgroups and the rest {flagged} exclude 0 by their intervals; by chance alone "
        f"about {0.05 * len(gaps):.1g} would. "
    )
    if not sure:
        return [said + "None stands after Holm's adjustment for all of them."]
    return [said + f"After Holm's adjustment for all of them stand: {', '.join(sure)}."]


def _each(subgroups: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for attribute in sorted(subgroups):
        for group, found in sorted(subgroups[attribute].items(), key=_in_order):
            yield f"{_ATTRIBUTES.get(attribute, attribute)}: {_short(group)}", found


def _in_order(item: tuple[str, Any]) -> tuple[bool, bool, str]:
    """Bands of age from the youngest, what is not stated last."""
    return item[0] == NOT_STATED, not item[0].startswith("under "), item[0]


def _short(group: str) -> str:
    key = len(group) >= _KEY and set(group) <= set("0123456789abcdef")
    return f"{group[:_SHORT]}..." if key else group


def _gap(gap: Mapping[str, Any] | None) -> str:
    if gap is None:
        return "-"
    mark = " !" if gap["flag"] else ""
    return f"{gap['value']:+.3f}{mark}\n[{gap['low']:+.3f}, {gap['high']:+.3f}]\n{_p(gap['p_holm'])} adjusted"


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p {value:.2g}"  # noqa: PLR2004 - what a reader can use
