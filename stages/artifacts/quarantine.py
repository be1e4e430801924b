"""Files and frames that were not accepted: why, and what to do. No path and no identity in it.

``data/quarantine/<batch>.csv`` (ingest) and ``data/images/<batch>/quarantine.csv`` (preprocess).
"""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from stages.runtime import atomic_file


class Reason(StrEnum):
    """Why a file is not used. The value is what the user should do about it."""

    NOT_DICOM = "not a DICOM file: nothing to do, unless it should be one"
    UNREADABLE = "the header cannot be parsed: export the file again"
    TRUNCATED = "the file ends before its pixel data does: export it again"
    NO_PIXEL_DATA = "no image in it (a report or presentation state): nothing to do"
    MISSING_PATIENT_ID = "no PatientID, so it cannot be kept on one side of the split: complete it in the PACS"
    MISSING_UID = "no study, series or SOP instance UID: export it again"
    DUPLICATE = "the same SOP instance was accepted already: nothing to do"
    CONFLICTING_DUPLICATE = "the same SOP instance UID as an accepted file, but other bytes: find out which is right"
    UNSUPPORTED = "its transfer syntax or pixel format is not supported: convert it to another"
    DECODE_FAILED = "the pixel data cannot be decoded: export the file again"
    DECODER_CRASHED = "it made the program that reads it crash or run out of memory: convert it to another format"


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
