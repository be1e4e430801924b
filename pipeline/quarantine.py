"""Files that are not used: how many, why, and what to do."""

from collections.abc import Sequence

import pandas as pd

from stages.artifacts import images, index, quarantine
from stages.runtime import UserError


def rejected(batch: str) -> pd.DataFrame:
    """Every file and frame of a batch that ingest or preprocess did not accept, with the ``stage`` that said so.

    Raises
    ------
    UserError
        If the batch was not ingested yet.
    """
    tables = []
    for stage, path in (
        ("ingest", index.quarantine_path(batch)),
        ("preprocess", images.quarantine_path(batch)),
    ):
        if path.exists():
            tables.append(quarantine.read(path).assign(batch=batch, stage=stage))
    if not tables:
        raise UserError(f"batch '{batch}' has no quarantine yet: run 'dvc repro', or correct its name")
    return pd.concat(tables, ignore_index=True)


def counts(rejections: pd.DataFrame) -> list[list[str]]:
    """Rows of batch, stage, reason, number of files, and what to do."""
    grouped = rejections.groupby(["batch", "stage", "reason", "what_to_do"]).size().reset_index(name="files")
    rows: list[list[str]] = grouped[["batch", "stage", "reason", "files", "what_to_do"]].astype(str).to_numpy().tolist()
    return rows


def with_paths(rejections: pd.DataFrame, batches: Sequence[str]) -> pd.DataFrame:
    """The same with each file's path in its batch: for the data's owner, for paths can hold names."""
    ways_back = pd.concat([index.read_restricted(batch).assign(batch=batch) for batch in batches])
    return rejections.merge(ways_back[["batch", "file", "path"]], on=["batch", "file"], how="left")
