"""What is known of images without looking at the disease, as numbers that a forest can take."""

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.floating]

NUISANCE = {
    "rows": "number",
    "columns": "number",
    "aspect": "number",  # columns / rows
    "size": "number",  # of the file, bytes
    "frames": "number",
    "bits_stored": "number",
    "border": "number",
    "cropped": "number",
    "mean": "number",
    "contrast": "number",  # standard deviation of the grey levels, as stored in pixels.npy
    "photometric": "name",
    "transfer_syntax": "name",
    "window": "name",
}
METADATA = dict.fromkeys(
    ("batch", "site", "manufacturer", "modality", "view", "body_part", "laterality", "burned_in"), "name"
)
DEMOGRAPHICS = {"age": "number", "sex": "name"}

_MOST_NAMES = 30
"""Of one column; rarer ones are one."""


def encode(rows: pd.DataFrame, columns: dict[str, str], train: npt.NDArray[np.bool_]) -> Floats:
    """(N, D) float32: numbers as they are, NaN where unknown; a 0-1 column for each frequent name, unknown being one.

    Which names are frequent is decided on the rows of ``train`` (N,).
    """
    parts = []
    for column, kind in columns.items():
        if kind == "number":
            parts.append(rows[column].to_numpy(dtype=np.float32, na_value=np.nan)[:, None])
            continue
        names = rows[column].astype("object").where(rows[column].notna(), "")
        frequent = names[train].value_counts().index[:_MOST_NAMES]
        parts.append((names.to_numpy()[:, None] == frequent.to_numpy()[None]).astype(np.float32))
    return np.concatenate(parts, axis=1)


def telling(columns: dict[str, str], rows: pd.DataFrame) -> list[str]:
    """The columns in which images differ."""
    return [column for column in columns if len(rows[column].drop_duplicates()) > 1]
