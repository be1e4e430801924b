"""``reports/intake.json``: what became of every file that came in, by batch and in total. Counts only, no file in it.

``reports/intake_total.json`` is what of it fits a terminal: ``dvc metrics show`` gives each number a column. Both are
committed to git.
"""

from pathlib import Path
from typing import TypedDict, cast

from stages import runtime

PATH = Path("reports/intake.json")
TOTAL_PATH = Path("reports/intake_total.json")


class Counts(TypedDict):
    """``files`` = ``used`` + ``duplicates`` + ``quarantined``, and ``accepted`` = ``used`` + what could not be decoded.

    Of files all but ``images``: one file can hold several. ``reasons`` has the name of each
    :class:`~stages.reasons.Reason` that occurs; they sum up to ``duplicates`` + ``quarantined``.
    """

    files: int
    accepted: int
    """By ingest, from the header."""
    used: int
    """There are images of it."""
    images: int
    duplicates: int
    quarantined: int
    """By ingest or by preprocess."""
    reasons: dict[str, int]


class Intake(TypedDict):
    """The whole file."""

    batches: dict[str, Counts]
    total: Counts


def write(content: Intake) -> None:
    """Write both files."""
    runtime.write_json(PATH, content)
    runtime.write_json(TOTAL_PATH, content["total"])


def read() -> Intake:
    """Read what :func:`write` wrote. Raises :class:`UserError` if it is missing."""
    return cast("Intake", runtime.read_json(PATH))


def words(counts: Counts) -> str:
    """One line: ``120 files: 110 used (115 images), 4 duplicate, 6 quarantined``."""
    return (
        f"{counts['files']:,} files: {counts['used']:,} used ({counts['images']:,} images), "
        f"{counts['duplicates']:,} duplicate, {counts['quarantined']:,} quarantined"
    )
