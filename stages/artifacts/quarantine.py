"""Files that were not accepted: why, and what to do. No path and no identity in it.

``data/quarantine/<batch>.csv`` (ingest) and ``data/images/<batch>/quarantine.csv`` (preprocess).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from stages.reasons import HARMLESS, Reason
from stages.runtime import UserError, atomic_file


class Rejected(NamedTuple):
    """One file (``file``: keyed hash of its path in the batch) that is not used."""

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


def require_few(
    path: Path, rejected: Sequence[Rejected], accepted: int, most: float, parameter: str, paths: Mapping[str, str]
) -> None:
    """Write the table to ``path`` and raise if more than a fraction ``most`` of what should be images is defective.

    ``path`` is beside DVC's outputs, in the state of this machine: the stage that fails writes no others. So it also
    has the files' own ``paths`` (by their keys), for the data's owner.

    Raises
    ------
    UserError
        Names the counts and ``parameter``.
    """
    defective = [item for item in rejected if item.reason not in HARMLESS]
    total = len(defective) + accepted
    if not defective or len(defective) <= most * total:
        return
    rows = [(paths[item.file], item.reason.name, item.detail, item.reason.value) for item in rejected]
    with atomic_file(path) as beside:
        pd.DataFrame(sorted(rows), columns=["path", *COLUMNS[1:]]).to_csv(beside, index=False)
    raise UserError(
        f"{len(defective)} of {total} files are in quarantine ({reasons(defective)}), more than {parameter} ({most:g}) "
        f"allows: {path} names them and says what to do; mend them, or raise it in params.yaml"
    )


def reasons(rejected: Iterable[Rejected]) -> str:
    """``3 NOT_DICOM, 1 TRUNCATED``."""
    counts = Counter(item.reason.name for item in rejected)
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
