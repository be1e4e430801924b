"""``reports/folds/<recipe>/``: what all folds of a recipe's cross-validation say together.

- ``crossval.json``: ``folds``, a list with each fold's ``fold``, ``images``, ``patients``, ``thresholds`` and, for
  each metric, ``{"value", "low", "high"}`` under its stable name (:mod:`stages.artifacts.evaluation`), the same of each
  class in ``per_class``, and AUROC with DeLong's interval in ``delong``; ``mean`` of the folds and ``pooled``, of all
  judged images in one ranking (without ``delong``), hold the same; ``spread`` is that of each metric over folds
  (``sd``, ``min``, ``max``); ``images``, ``patients``, and ``left_out``: images that would tie two folds together.
- ``metrics.json``: of it what fits a terminal. ``reports/comparison.json`` has :func:`headline` of each recipe.
- ``predictions.parquet``: see :func:`predictions_schema`.
- ``plots/folds.csv``: the metrics of each fold, a row for each. ``report.html``.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from stages import runtime
from stages.artifacts import tables
from stages.artifacts.cohort import Subset
from stages.runtime import atomic_file

JUDGED, CHOSEN_ON = "judged", "chosen_on"
"""What an image is to a fold's model: what it is judged on, or what chose its epoch, penalty and threshold."""


def directory(recipe: str) -> Path:
    """What all folds of a recipe say."""
    return Path("reports/folds") / recipe


def path(recipe: str) -> Path:
    """crossval.json, as above."""
    return directory(recipe) / "crossval.json"


def report_path(recipe: str) -> Path:
    """The page that people read."""
    return directory(recipe) / "report.html"


def read(recipe: str) -> dict[str, Any]:
    """Read crossval.json. Raises :class:`UserError` if it is missing."""
    return runtime.read_json(path(recipe))


def write(recipe: str, content: dict[str, Any]) -> None:
    """Write crossval.json; of it metrics.json, the values alone, and plots/folds.csv, a row for each fold."""
    runtime.write_json(path(recipe), content)
    spread = {name: found["sd"] for name, found in content["spread"].items()}
    short = {"mean": _values(content["mean"]), "sd": spread, "pooled": _values(content["pooled"])}
    runtime.write_json(directory(recipe) / "metrics.json", short)
    rows = [{"fold": one["fold"], **_values(one)} for one in content["folds"]]
    with atomic_file(directory(recipe) / "plots" / "folds.csv") as beside:
        pd.DataFrame(rows).to_csv(beside, index=False, lineterminator="\n")


def headline(content: dict[str, Any]) -> dict[str, Any]:
    """What of crossval.json a comparison of recipes needs: AUROC."""
    return {
        "auroc": content["mean"]["auroc"],
        "sd": content["spread"]["auroc"]["sd"],
        "folds": len(content["folds"]),
        "patients": content["patients"],
    }


def predictions_schema(classes: tuple[str, ...]) -> pa.Schema:
    """Two rows per image in folds, ``role`` :data:`JUDGED` and :data:`CHOSEN_ON`.

    ``fold``: of the model that made them, so of a judged image its own; ``label:<class>`` (NaN unknown) and
    ``score:<class>`` (probability, in double precision as in a recipe's predictions). Rows of role judged are the
    out-of-fold predictions, each image once.
    """
    return pa.schema(
        [
            ("image", pa.string()),
            ("patient", pa.string()),
            ("batch", pa.string()),
            ("fold", pa.int32()),
            ("role", pa.string()),
            *((f"label:{name}", pa.float32()) for name in classes),
            *((f"score:{name}", pa.float64()) for name in classes),
        ]
    )


def predictions(
    held: pd.DataFrame, classes: tuple[str, ...], fold: int, scores: npt.NDArray[np.float64]
) -> pd.DataFrame:
    """The table of one fold, from its cohort's rows of val and test and their (N, K) probabilities."""
    roles = {Subset.TEST.value: JUDGED, Subset.VAL.value: CHOSEN_ON}
    made: dict[str, Any] = {f"score:{name}": scores[:, k] for k, name in enumerate(classes)}
    keys = held[["image", "patient", "batch", *(f"label:{name}" for name in classes)]]
    return keys.assign(fold=fold, role=held["subset"].map(roles), **made)


def write_predictions(recipe: str, frame: pd.DataFrame, classes: tuple[str, ...]) -> None:
    """Write the predictions of all folds."""
    tables.write(directory(recipe) / "predictions.parquet", frame, predictions_schema(classes))


def read_predictions(recipe: str, classes: tuple[str, ...]) -> pd.DataFrame:
    """Read what :func:`write_predictions` wrote."""
    return tables.read(directory(recipe) / "predictions.parquet", predictions_schema(classes))


def _values(metrics: dict[str, Any]) -> dict[str, float | None]:
    return {name: found["value"] for name, found in metrics.items() if isinstance(found, dict) and "value" in found}
