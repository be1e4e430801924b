"""A chunk of scans as a file: one JSON object a line."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from stages.ingest.scan import Scan
from stages.reasons import Reason


def save(path: Path, scans: Iterable[Scan]) -> None:
    """Write them as they come."""
    with path.open("w", encoding="utf-8") as file:
        for scan in scans:
            told = scan._replace(reason=scan.reason and scan.reason.name)  # type: ignore[arg-type]
            file.write(json.dumps(told) + "\n")


def load(path: Path) -> Iterator[Scan]:
    """What :func:`save` wrote."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            where, key, kept, reason, detail = json.loads(line)
            yield Scan(where, key, kept, Reason[reason] if reason else None, detail)
