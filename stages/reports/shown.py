"""Numbers with their intervals as a report's tables show them."""

from collections.abc import Mapping

Entry = Mapping[str, float | None]


def number(entry: Entry, form: str = ".3f") -> str:
    """``0.870 [0.820, 0.910]``, with ``form`` for each; a dash for a value, or an end of two, that there is not.

    The value alone where there is no interval.
    """
    value, low, high = entry["value"], entry["low"], entry["high"]
    if value is None:
        return "-"
    if low is None and high is None:
        return f"{value:{form}}"
    ends = ("-" if end is None else f"{end:{form}}" for end in (low, high))
    return f"{value:{form}} [{', '.join(ends)}]"


def stacked(entry: Entry, form: str = ".3f") -> str:
    """As :func:`number`, the interval on a line of its own: a narrow column."""
    return number(entry, form).replace(" [", "\n[")


def percent(entry: Entry) -> str:
    """``87.0% [82.0, 91.0]``, and as :func:`number`."""
    value, low, high = entry["value"], entry["low"], entry["high"]
    if value is None:
        return "-"
    return f"{value:.1%}" if low is None or high is None else f"{value:.1%} [{100 * low:.1f}, {100 * high:.1f}]"
