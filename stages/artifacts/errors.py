"""``reports/recipes/<recipe>/errors.csv``: every wrong decision on held-out images that report, the worst first.

No pixels and no identity in it, but a row per image of a patient: DVC keeps it, git and MLflow do not get it.
``radrepro find <image>`` leads the data's owner from a key to the file.
"""

from pathlib import Path

import pandas as pd

from stages.artifacts import evaluation
from stages.runtime import atomic_file

FACTS = ["sex", "age_band", "view", "body_part", "modality", "manufacturer", "site"]
"""As the cohort has them, ages in decades; empty where not stated."""

COLUMNS = [
    "image",  # the pseudonymous key of the image, of its patient
    "patient",
    "batch",
    "subset",
    "actual",  # the class that it is; of labels "<label>" or "not <label>", a row for each that is decided wrong
    "said",  # what the model decided, at the threshold from val
    "probability",  # that the model gave to what is true: the lower, the worse
    *FACTS,
]


def path(recipe: str) -> Path:
    """Where a recipe's errors are listed."""
    return evaluation.directory(recipe) / "errors.csv"


def write(recipe: str, table: pd.DataFrame) -> None:
    """Write the table; a header alone where nothing is wrong."""
    with atomic_file(path(recipe)) as beside:
        table[COLUMNS].to_csv(beside, index=False, float_format="%.6f", lineterminator="\n")


def read(recipe: str) -> pd.DataFrame:
    """Read it, text but for the probability."""
    text = {name: str for name in COLUMNS if name != "probability"}
    return pd.read_csv(path(recipe), dtype=text, keep_default_na=False)
