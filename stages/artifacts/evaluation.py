"""``reports/recipes/<recipe>/``: evaluation.json, metrics.json, predictions.parquet, plots, report.html; comparison.

evaluation.json holds ``{"test": {...}, "val": {...}, "thresholds": {...}}``, in each side
``{"<metric>": {"value": v, "low": l, "high": h}, ..., "images": n, "patients": m}`` with the metrics' stable names:
auroc, auprc, accuracy, balanced_accuracy, f1, sensitivity, specificity, brier. ``val`` decides, ``test`` is reported.
What ``split.external`` holds out is a side ``external``, with ``drop``: of each metric, test less external. ``test``
has ``subgroups``: ``{"<attribute>": {"<group>": ...}}`` as :func:`stages.judging.subgroups.judge` makes them.
metrics.json is what of it fits a terminal: ``dvc metrics show`` gives each number a column. Both are committed to git.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from stages import runtime
from stages.artifacts import tables
from stages.runtime import atomic_file

COMPARISON_PATH = Path("reports/comparison.json")
COMPARISON_REPORT_PATH = Path("reports/comparison.html")


def directory(recipe: str) -> Path:
    """Where a recipe's evaluation lies."""
    return Path("reports/recipes") / recipe


def path(recipe: str) -> Path:
    """Every metric with its interval, as above."""
    return directory(recipe) / "evaluation.json"


def read(recipe: str) -> dict[str, Any]:
    """Read evaluation.json. Raises :class:`UserError` if it is missing."""
    return runtime.read_json(path(recipe))


def write(recipe: str, content: dict[str, Any]) -> None:
    """Write evaluation.json, and of it metrics.json: AUROC on val and external, and each metric of test."""
    runtime.write_json(path(recipe), content)
    test = {
        name: found["value"] for name, found in content["test"].items() if isinstance(found, dict) and "value" in found
    }
    found = {"test": test, "val": {"auroc": content["val"]["auroc"]["value"]}}
    if elsewhere := content.get("external"):
        found["external"] = {"auroc": elsewhere["auroc"]["value"], "drop": elsewhere["drop"]["auroc"]["value"]}
    runtime.write_json(directory(recipe) / "metrics.json", found)


def predictions_schema(classes: tuple[str, ...]) -> pa.Schema:
    """One row per image that was not trained on (val, test, external): keys, labels, scores and logits.

    ``label:<class>`` is 1, 0 or NaN (unknown), ``score:<class>`` a probability, after the temperature of the model, and
    ``logit:<class>`` what the network gives, before it: score is the softmax over classes, or of a multi-label task
    the sigmoid, of logit / temperature. Scores have double precision: in single, all above 0.9999999 would be one.
    """
    return pa.schema(
        [
            ("image", pa.string()),
            ("patient", pa.string()),
            ("batch", pa.string()),
            ("subset", pa.string()),
            *((f"label:{name}", pa.float32()) for name in classes),
            *((f"score:{name}", pa.float64()) for name in classes),
            *((f"logit:{name}", pa.float32()) for name in classes),
        ]
    )


def predictions(
    held_out: pd.DataFrame,
    classes: tuple[str, ...],
    scores: npt.NDArray[np.float64],
    logits: npt.NDArray[np.float32],
) -> pd.DataFrame:
    """The table of predictions from rows of the cohort, their (N, K) probabilities and the (N, K) logits behind."""
    keys = held_out[["image", "patient", "batch", "subset", *(f"label:{name}" for name in classes)]]
    probability = {f"score:{name}": scores[:, k] for k, name in enumerate(classes)}
    return keys.assign(**probability, **{f"logit:{name}": logits[:, k] for k, name in enumerate(classes)})


def report_path(recipe: str) -> Path:
    """The page that people read."""
    return directory(recipe) / "report.html"


def write_curve(recipe: str, name: str, curve: pd.DataFrame) -> None:
    """Write a curve where DVC's plots look for it."""
    with atomic_file(directory(recipe) / "plots" / f"{name}.csv") as beside:
        curve.to_csv(beside, index=False)


def curve(recipe: str, name: str) -> pd.DataFrame:
    """Read what :func:`write_curve` wrote."""
    return pd.read_csv(directory(recipe) / "plots" / f"{name}.csv")


def write_predictions(recipe: str, frame: pd.DataFrame, classes: tuple[str, ...]) -> None:
    """Write a recipe's predictions."""
    tables.write(directory(recipe) / "predictions.parquet", frame, predictions_schema(classes))


def read_predictions(recipe: str, classes: tuple[str, ...]) -> pd.DataFrame:
    """Read a recipe's predictions."""
    return tables.read(directory(recipe) / "predictions.parquet", predictions_schema(classes))
