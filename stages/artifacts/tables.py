"""Parquet tables with a declared schema: to read or write anything else is an error, here, not three stages on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from stages.runtime import UserError, atomic_file


def write(path: Path, frame: pd.DataFrame, schema: pa.Schema) -> None:
    """Write exactly the columns of ``schema``, in its order; the same content gives the same bytes.

    Raises
    ------
    ValueError
        If a column is missing or too many, or a value does not fit its type: a defect of the stage that writes.
    """
    with writer(path, schema) as append:
        append(frame)


@contextmanager
def writer(path: Path, schema: pa.Schema) -> Iterator[Callable[[pd.DataFrame], None]]:
    """As :func:`write`, for a table that comes in parts: the function that is given takes each of them."""

    def append(frame: pd.DataFrame) -> None:
        if set(frame.columns) != set(schema.names):
            wrong = sorted(set(frame.columns) ^ set(schema.names))
            raise ValueError(f"{path}: these columns are missing or not in the schema: {wrong}")
        table = pa.Table.from_pandas(frame[schema.names], schema=schema, preserve_index=False)
        file.write_table(table.replace_schema_metadata(schema.metadata))

    with atomic_file(path) as beside, pq.ParquetWriter(beside, schema, compression="zstd") as file:
        yield append


def read(path: Path, schema: pa.Schema) -> pd.DataFrame:
    """A table written by :func:`write`.

    Raises
    ------
    UserError
        If the file is missing or holds other columns.
    """
    table = _load(path)
    if not table.schema.equals(schema, check_metadata=False):
        raise UserError(
            f"{path} has another schema than this version of radrepro reads: run 'dvc repro' to make it again"
        )
    frame: pd.DataFrame = table.to_pandas()
    return frame


def metadata(path: Path) -> dict[str, str]:
    """What was written with the schema. Raises :class:`~stages.runtime.UserError` if the file is missing."""
    return {key.decode(): value.decode() for key, value in (_load(path).schema.metadata or {}).items()}


def _load(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except FileNotFoundError:
        raise UserError(f"{path} is not here: run 'dvc repro', or 'dvc pull' to fetch it") from None
