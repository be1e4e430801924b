"""Count what ingest and preprocess made of a batch's files, and see that no file is lost or counted twice."""

from collections import Counter
from collections.abc import Iterable

import pandas as pd

from stages.artifacts.intake import Counts
from stages.reasons import DUPLICATES


def count(accepted: pd.DataFrame, refused: pd.DataFrame, rows: pd.DataFrame, undecoded: pd.DataFrame) -> Counts:
    """One batch's files, each with one outcome.

    Parameters
    ----------
    accepted, refused
        Ingest's index and quarantine: together a row per file (``file``, and ``reason`` of the refused).
    rows, undecoded
        Preprocess's table of images, some of one ``file``, and its quarantine.

    Raises
    ------
    ValueError
        If a file is missing, or has two outcomes: a defect of the stage that wrote these tables.
    """
    files = pd.concat([accepted["file"], refused["file"]])
    if not files.is_unique:
        raise ValueError("ingest gives a file two outcomes: this is a defect of ingest")
    outcomes = [*rows["file"].unique(), *undecoded["file"]]
    if Counter(outcomes) != Counter(accepted["file"]):
        raise ValueError("the accepted files are not those with images + those quarantined: a defect of preprocess")

    reasons = Counter(refused["reason"]) + Counter(undecoded["reason"])
    duplicates = int(refused["reason"].isin([reason.name for reason in DUPLICATES]).sum())
    return {
        "files": len(files),
        "accepted": len(accepted),
        "used": len(outcomes) - len(undecoded),
        "images": len(rows),
        "duplicates": duplicates,
        "quarantined": len(refused) - duplicates + len(undecoded),
        "reasons": dict(sorted(reasons.items())),
    }


def total(batches: Iterable[Counts]) -> Counts:
    """The sum of all batches."""
    numbers: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for counts in batches:
        numbers.update({name: value for name, value in counts.items() if isinstance(value, int)})
        reasons.update(counts["reasons"])
    return {
        "files": numbers["files"],
        "accepted": numbers["accepted"],
        "used": numbers["used"],
        "images": numbers["images"],
        "duplicates": numbers["duplicates"],
        "quarantined": numbers["quarantined"],
        "reasons": dict(sorted(reasons.items())),
    }
