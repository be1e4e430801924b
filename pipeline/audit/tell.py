"""Findings as text for people."""

from collections.abc import Sequence

from pipeline.audit.links import Link, State

_MARKS = {State.OK: "OK     ", State.BROKEN: "BROKEN ", State.ABSENT: "ABSENT "}


def links(label: str, found: Sequence[Link], *, every: bool = False) -> str:
    """A line per link that does not hold, a count per kind of those that do, and the verdict; or ``every`` link."""
    lines = []
    for kind in dict.fromkeys(one.kind for one in found):
        those = [one for one in found if one.kind == kind]
        good = [one for one in those if one.state is State.OK]
        if every:
            lines += [_line(one) for one in those]
            continue
        if good:
            named = f": {good[0].name}{f' ({good[0].detail})' if good[0].detail else ''}" if len(good) == 1 else ""
            lines.append(f"{_MARKS[State.OK]}{kind:<12} {len(good)} recomputed{named}")
        lines += [_line(one) for one in those if one.state is not State.OK]
    return "\n".join([*lines, "", f"{label}: {_verdict(found)}"])


def _line(one: Link) -> str:
    return f"{_MARKS[one.state]}{one.kind:<12} {one.name}{f': {one.detail}' if one.detail else ''}"


def _verdict(found: Sequence[Link]) -> str:
    counts = {state: sum(one.state is state for one in found) for state in State}
    if counts[State.BROKEN]:
        return f"{counts[State.BROKEN]} of {len(found)} links {'is' if counts[State.BROKEN] == 1 else 'are'} BROKEN"
    if counts[State.ABSENT]:
        return f"nothing is broken, but {counts[State.ABSENT]} of {len(found)} links could not be recomputed here"
    return f"all {len(found)} links hold, from the registry to the DICOM"
