"""The table of labels, joined to images by keyed hashes. Raw identifiers are read here and go no further."""

import difflib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from stages.artifacts.cohort import Task
from stages.pseudonyms import Pseudonyms
from stages.runtime import UserError

LEVELS = {"SOPInstanceUID": "instance", "StudyInstanceUID": "study", "PatientID": "patient"}
"""The column of a label table, and the keyed hash of the index that it meets."""

_SHOWN = 5  # of a long list in a message


@dataclass(frozen=True)
class Labels:
    """What is known of each key.

    Attributes
    ----------
    level
        instance, study or patient: the column of the index that keys meet.
    values
        One row per keyed hash (the frame's index), one column per class: 1.0, 0.0 or NaN (unknown).
    """

    level: str
    values: pd.DataFrame

    def of(self, images: pd.DataFrame) -> npt.NDArray[np.float32]:
        """(N, K) labels of images, rows of NaN where nothing is known."""
        found: npt.NDArray[np.float32] = self.values.reindex(images[self.level]).to_numpy(dtype=np.float32)
        return found

    def unknown(self, images: pd.DataFrame) -> int:
        """How many keys no image has."""
        return int((~self.values.index.isin(images[self.level])).sum())


def labelled(labels: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """(N,) whether anything is known of each image."""
    return np.asarray(~np.isnan(labels).all(axis=1))


def read(
    path: Path, key: str, task: Task, classes: Sequence[str], batches: Sequence[str], pseudonyms: Pseudonyms
) -> Labels:
    """Read a table of labels.

    A column ``batch``, if there is one, says which batch a row is about: rows of others than ``batches`` are left out.

    Raises
    ------
    UserError
        If the file or a column is missing, a value is not a label, or rows contradict one another. Messages give row
        numbers of the file and class names, never an identifier.
    """
    table = load(path)
    needed = [key, *(classes if task is Task.MULTILABEL else ["label"])]
    for name in needed:
        if name not in table.columns:
            close = difflib.get_close_matches(name, list(table.columns), n=1)
            hint = f": is it '{close[0]}'?" if close else ": add it, or correct split.key, split.task or split.classes"
            raise UserError(f"{path} has no column '{name}'{hint}")
    if "batch" in table.columns:
        table = table[table["batch"].isin(batches)]
    empty = table[key].str.strip() == ""
    if empty.any():
        raise UserError(f"{path}: {_rows(table[empty])} no {key}: fill it in, or remove the row")
    if table.empty:
        raise UserError(f"{path} has no row for the batches {', '.join(batches)}: add labels, or correct 'batches'")
    values = _several(path, table, classes) if task is Task.MULTILABEL else _one(path, table, classes)
    level = LEVELS[key]
    values.insert(0, "key", [pseudonyms.of(level, identifier) for identifier in table[key]])
    values["line"] = table.index
    values = values.drop_duplicates(subset=["key", *classes])
    twice = values[values["key"].duplicated(keep=False)]
    if not twice.empty:
        raise UserError(
            f"{path}: {_rows(twice.set_index('line'))} labels that contradict another row's: keep one of each"
        )
    return Labels(level, values.set_index("key")[list(classes)])


def load(path: Path) -> pd.DataFrame:
    """The table as it is, every cell text, its rows numbered as an editor numbers the file's lines.

    Raises
    ------
    UserError
        If it is not here, is no CSV table in UTF-8, or has rows with more values than its first line has names.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            # index_col: else pandas takes a column too many as the index, and every value stands under another name
            table = pd.read_csv(
                path, dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False, skip_blank_lines=False
            )
    except FileNotFoundError:
        raise UserError(
            f"the table of labels {path} (split.labels) is not here: put it there, or 'dvc pull' it"
        ) from None
    except pd.errors.ParserWarning:
        raise UserError(f"{path} has more values in a row than names in its first line: name every column") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a CSV table in UTF-8 ({type(error).__name__}): save it as one") from None
    table.columns = table.columns.str.strip()
    table.index = pd.RangeIndex(2, len(table) + 2)
    return table[(table != "").any(axis=1)]


def _one(path: Path, table: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    given = table["label"].str.strip()
    strange = given[~given.isin([*classes, ""])]
    if not strange.empty:
        # A value is shown only where it is a slip of the pen: a table gone wrong can hold names here.
        meant = {value: near for value in strange.unique() for near in difflib.get_close_matches(value, classes, n=1)}
        hint = "; ".join(f"'{value}' is close to '{near}'" for value, near in list(meant.items())[:_SHOWN])
        raise UserError(
            f"{path}: {_rows(strange)} a label that split.classes does not name ({', '.join(classes)}): correct the "
            f"table, or add the class to split.classes in params.yaml{'; ' * bool(hint)}{hint}"
        )
    values = pd.DataFrame({name: (given == name).astype("float32") for name in classes})
    values[given == ""] = np.nan
    return values


def _several(path: Path, table: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    values = pd.DataFrame(index=table.index)
    meaning = {"1": 1.0, "1.0": 1.0, "0": 0.0, "0.0": 0.0, "": np.nan}
    for name in classes:
        given = table[name].str.strip()
        strange = given[~given.isin(meaning)]
        if not strange.empty:
            raise UserError(
                f"{path}: {_rows(strange)} something else than 1, 0 or nothing in column '{name}': correct it"
            )
        values[name] = given.map(meaning).astype("float32")
    return values


def _rows(some: pd.DataFrame | pd.Series) -> str:
    lines = ", ".join(str(line) for line in some.index[:_SHOWN])
    more = f" and {len(some) - _SHOWN} more" if len(some) > _SHOWN else ""
    return f"line {lines} has" if len(some) == 1 else f"lines {lines}{more} have"
