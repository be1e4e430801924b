"""Text for a terminal and for logs."""

import re
from collections.abc import Sequence

_IN_A_BATCH = re.compile(r"(data/raw/[^/\s'\"]+)/.*")


def nameless(line: str) -> str:
    """The line without the path of a file in a batch, and what follows it: paths can hold names, and logs are kept."""
    return _IN_A_BATCH.sub(r"\1/...", line)


def size(count: int) -> str:
    """Bytes in decimal units, as disks are sold: ``1.2 MB``."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:  # noqa: PLR2004 - the units' step
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned, numbers to the right; nothing is cut or wrapped, so it can be piped."""
    columns = list(zip(header, *rows, strict=True))
    widths = [max(len(cell) for cell in column) for column in columns]
    right = [all(_is_number(cell) for cell in column[1:]) for column in columns]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(_fit(*cell) for cell in zip(line, widths, right, strict=True)).rstrip() for line in lines
    )


def _fit(cell: str, width: int, right: bool) -> str:
    return cell.rjust(width) if right else cell.ljust(width)


def _is_number(cell: str) -> bool:
    return not cell or cell.replace(",", "").replace(".", "", 1).isdigit()
