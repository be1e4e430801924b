"""The user's table of labels: what it says about the task, and how a new batch's rows join those of earlier ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from stages import labels
from stages.artifacts.cohort import Task
from stages.labels import LEVELS
from stages.runtime import UserError, atomic_file

_NEGATIVE = {"normal", "negative", "no finding", "healthy", "control", "benign", "absent", "none", "no", "0", "false"}
"""Of two classes the one named so is the negative one."""

_MOST_CLASSES = 20
"""More are names or free text, as is a DICOM name with its carets: nothing for params.yaml, and with it for git."""

_MARKS = {"0", "1", "0.0", "1.0", ""}


def detect(path: Path, batch: str) -> dict[str, Any]:
    """``key``, ``task`` and ``classes`` of params.yaml's ``split``, as the table's columns and values suggest them.

    Raises
    ------
    UserError
        If no column names images, studies or patients, or none holds labels.
    """
    table = labels.load(path)
    key = next((column for column in LEVELS if column in table.columns), None)
    if key is None:
        raise UserError(f"{path} has none of the columns {', '.join(LEVELS)}: one of them must name what is labelled")
    if "batch" in table.columns:
        table = table[table["batch"] == batch]
        if table.empty:
            raise UserError(f"{path} has a column 'batch', and no row of it says '{batch}': use the name that it has")
    if "label" in table.columns:
        classes = sorted({value.strip() for value in table["label"]} - {""}, key=_negative_first)
        if len(classes) < 2:  # noqa: PLR2004 - there is nothing to tell apart
            raise UserError(f"{path}: its column 'label' holds {len(classes)} class: there must be two at least")
        if len(classes) > _MOST_CLASSES or any("^" in name for name in classes):
            raise UserError(
                f"{path}: its column 'label' holds {len(classes)} different values that look like names or free text, "
                "not classes: is it the column of labels?"
            )
        return {"key": key, "task": (Task.BINARY if len(classes) == 2 else Task.MULTICLASS).value, "classes": classes}  # noqa: PLR2004
    marked = [
        str(name)
        for name in table.columns
        if name not in {*LEVELS, "batch"} and set(table[name].str.strip()) <= _MARKS and (table[name] != "").any()
    ]
    if not marked:
        raise UserError(f"{path} has no column 'label', and no column of 1, 0 or nothing for each class: add one")
    return {"key": key, "task": Task.MULTILABEL.value, "classes": marked}


def merge(into: Path, path: Path, batch: str, section: dict[str, Any], meets: Callable[[str], bool]) -> int:
    """Write ``into`` with the rows of ``path`` that are about ``batch`` after those of earlier batches.

    Only what is used is taken over: the key and the labels, of rows whose key ``meets`` an image; how many others there
    were is returned. ``section`` is params.yaml's ``split``.
    """
    columns = [section["key"], *(section["classes"] if section["task"] == Task.MULTILABEL.value else ["label"])]
    new = labels.load(path)
    if "batch" in new.columns:
        new = new[new["batch"] == batch]
    used = new[section["key"]].map(meets).astype(bool)
    new = new.loc[used, columns].assign(batch=batch)
    if into.exists():
        old = labels.load(into)
        kept = old[old["batch"] != batch] if "batch" in old.columns else old
        new = pd.concat([kept, new[[name for name in new.columns if name in old.columns]]]).fillna("")
    else:
        new = new[["batch", *columns]]
    with atomic_file(into) as beside:
        new.to_csv(beside, index=False, lineterminator="\n")
    return int((~used).sum())


def _negative_first(name: str) -> tuple[bool, str]:
    return name.lower() not in _NEGATIVE, name
