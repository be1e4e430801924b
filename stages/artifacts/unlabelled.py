"""``data/unlabelled.parquet``: images without a label, of nobody who is held out: for training that needs no labels."""

from pathlib import Path

import pandas as pd
import pyarrow as pa

from stages.artifacts import tables
from stages.artifacts.cohort import COLUMNS, TIES, Cohort, Subset

PATH = Path("data/unlabelled.parquet")

SCHEMA = pa.schema([(name, kind) for name, kind in COLUMNS if name not in {"group", "subset"}])


def write(frame: pd.DataFrame, cohort: Cohort, path: Path = PATH) -> None:
    """Write the table: one row per image, the cohort's columns but for labels, ``group`` and ``subset``.

    Raises
    ------
    ValueError
        If a row is tied to val, test or external: by the patient, the study, or the looks of the image.
    """
    _require_no_leak(frame, cohort)
    tables.write(path, frame, SCHEMA)


def read(cohort: Cohort, path: Path = PATH) -> pd.DataFrame:
    """What :func:`write` wrote beside ``cohort``; it may have no rows.

    Raises
    ------
    UserError
        If it is missing.
    ValueError
        As :func:`write`.
    """
    frame = tables.read(path, SCHEMA)
    _require_no_leak(frame, cohort)
    return frame


def _require_no_leak(frame: pd.DataFrame, cohort: Cohort) -> None:
    held = cohort.frame[cohort.frame["subset"] != Subset.TRAIN]
    for kind in TIES:
        leaks = frame.loc[frame[kind].isin(held[kind].dropna()), kind].unique()
        if len(leaks):
            named = ", ".join(leaks[:3])
            raise ValueError(f"unlabelled images leak: {len(leaks)} {kind} keys are on val, test or external: {named}")
