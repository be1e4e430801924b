"""``data/index/<batch>.parquet``: one row per accepted DICOM file, an allow-list of attributes, no identity in it.

``data/restricted/<batch>.csv`` leads back from a key to the file's path; paths can hold names, so only preprocess and
the data's owner read it.
"""

import csv
from pathlib import Path

import pandas as pd
import pyarrow as pa

from stages.artifacts import tables
from stages.runtime import atomic_file

SCHEMA = pa.schema(
    [
        ("instance", pa.string()),  # keyed hash of the SOP Instance UID (0008,0018)
        ("series", pa.string()),  # ... of the Series Instance UID (0020,000E)
        ("study", pa.string()),  # ... of the Study Instance UID (0020,000D)
        ("patient", pa.string()),  # ... of the Patient ID (0010,0020), whoever issued it: see ingest
        ("site", pa.string()),  # ... of the Institution Name (0008,0080); null where absent
        ("file", pa.string()),  # ... of the path within the batch
        ("batch", pa.string()),
        ("sha256", pa.string()),  # of the file's bytes
        ("size", pa.int64()),  # of the file, bytes
        ("modality", pa.string()),  # (0008,0060)
        ("manufacturer", pa.string()),  # (0008,0070)
        ("body_part", pa.string()),  # (0018,0015)
        ("view", pa.string()),  # (0018,5101)
        ("laterality", pa.string()),  # (0020,0062)
        ("sex", pa.string()),  # (0010,0040): F, M or O; null where absent
        ("age", pa.float32()),  # (0010,1010) in years, above 89 given as 90
        ("day", pa.int32()),  # (0008,0020) as a day number, all of a patient's shifted by one secret number of days
        ("burned_in", pa.string()),  # (0028,0301): YES (then cropped away), NO; null where not stated
        ("frames", pa.int32()),  # (0028,0008)
        ("rows", pa.int32()),  # (0028,0010)
        ("columns", pa.int32()),  # (0028,0011)
        ("bits_stored", pa.int32()),  # (0028,0101)
        ("photometric", pa.string()),  # (0028,0004)
        ("transfer_syntax", pa.string()),  # (0002,0010), the UID
    ]
)

RESTRICTED_COLUMNS = ["path", "file", "status", "reason", "instance"]
"""``status``: accepted, duplicate or quarantined, for every file of the batch."""


def path(batch: str) -> Path:
    """Where a batch's index lies."""
    return Path("data/index") / f"{batch}.parquet"


def restricted_path(batch: str) -> Path:
    """Where the way back from keys to paths lies."""
    return Path("data/restricted") / f"{batch}.csv"


def quarantine_path(batch: str) -> Path:
    """Where ingest says which files it did not accept."""
    return Path("data/quarantine") / f"{batch}.csv"


def write(batch: str, frame: pd.DataFrame) -> None:
    """Write a batch's index."""
    tables.write(path(batch), frame, SCHEMA)


def read(batch: str) -> pd.DataFrame:
    """Read a batch's index."""
    return tables.read(path(batch), SCHEMA)


def write_restricted(batch: str, frame: pd.DataFrame) -> None:
    """Write the way back; sorted by path."""
    with atomic_file(restricted_path(batch)) as beside:
        table = frame[RESTRICTED_COLUMNS].sort_values("path")
        table.to_csv(beside, index=False, quoting=csv.QUOTE_ALL, lineterminator="\n")  # a name may hold a line's end


def read_restricted(batch: str) -> pd.DataFrame:
    """Read the way back, every column text."""
    return pd.read_csv(restricted_path(batch), dtype=str, keep_default_na=False)
