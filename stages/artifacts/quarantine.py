"""Files and frames that were not accepted: why, and what to do. No path and no identity in it.

``data/quarantine/<batch>.csv`` (ingest) and ``data/images/<batch>/quarantine.csv`` (preprocess).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from stages.reasons import Reason
from stages.runtime import atomic_file


class Rejected(NamedTuple):
    """One file (``file``: keyed hash of its path in the batch) or frame that is not used."""

    file: str
    reason: Reason
    detail: str = ""


COLUMNS = ["file", "reason", "detail", "what_to_do"]


def write(path: Path, rejected: Sequence[Rejected]) -> None:
    """Sorted, one line each; a header alone when nothing was rejected."""
    rows = [(item.file, item.reason.name, item.detail, item.reason.value) for item in sorted(rejected)]
    with atomic_file(path) as beside:
        pd.DataFrame(rows, columns=COLUMNS).to_csv(beside, index=False)


def read(path: Path) -> pd.DataFrame:
    """The table that :func:`write` wrote, every column text."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)
