"""Numbers with their intervals as a report's tables show them."""

from collections.abc import Mapping

Entry = Mapping[str, float | None]


def number(entry: Entry, form: str = ".3f") -> str:
    """``0.870 [0.820, 0.910]``; the value alone where there is no interval, and a dash where there is no value."""
    value, low, high = entry["value"], entry["low"], entry["high"]
    if value is None:
        return "-"
    return f"{value:{form}}" if low is None or high is None else f"{value:{form}} [{low:{form}}, {high:{form}}]"


def percent(entry: Entry) -> str:
    """``87.0% [82.0, 91.0]``, and as :func:`number`."""
    value, low, high = entry["value"], entry["low"], entry["high"]
    if value is None:
        return "-"
    return f"{value:.1%}" if low is None or high is None else f"{value:.1%} [{100 * low:.1f}, {100 * high:.1f}]"
