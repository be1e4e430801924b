"""Cross-validation: ``data/folds.parquet``, ``folds/<recipe>/<fold>/`` and ``reports/folds/<recipe>/``.

``data/folds.parquet`` deals the images of train and val to folds from 1 to k. ``folds/<recipe>/<fold>/`` holds the
model that is judged on that fold, in the files of :mod:`stages.artifacts.model`. ``reports/folds/<recipe>/`` holds
what all folds say together:

- ``crossval.json``: ``folds``, a list with each fold's ``fold``, ``images``, ``patients``, ``thresholds`` and, for
  each metric, ``{"value", "low", "high"}`` under its stable name (:mod:`stages.artifacts.evaluation`), AUROC of each
  class in ``per_class``; ``mean`` of the folds and ``pooled``, of all judged images in one ranking, hold the same;
  ``spread`` is that of each metric over folds (``sd``, ``min``, ``max``); ``images``, ``patients``, and ``left_out``:
  images that would tie two folds together.
- ``metrics.json``: of it what fits a terminal.
- ``predictions.parquet``: see :func:`predictions_schema`.
- ``plots/folds.csv``: the metrics of each fold, a row for each. ``report.html``.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from stages import runtime
from stages.artifacts import tables
from stages.artifacts.cohort import Cohort, Subset
from stages.runtime import UserError, atomic_file

PATH = Path("data/folds.parquet")
MODELS = Path("folds")
REPORTS = Path("reports/folds")

JUDGED, CHOSEN_ON = "judged", "chosen_on"
"""What an image is to a fold's model: what it is judged on, or what chose its epoch, penalty and threshold."""

_SCHEMA = pa.schema([("image", pa.string()), ("fold", pa.int32()), ("group", pa.string())])


@dataclass(frozen=True)
class Folds:
    """Which fold, from 1 to ``count``, each image of train and val is in.

    Attributes
    ----------
    frame
        Columns ``image, fold, group``. Images that would tie two folds together are absent; without them, groups can
        be smaller than the cohort's.
    """

    frame: pd.DataFrame
    count: int

    def cohort(self, whole: Cohort, fold: int) -> Cohort:
        """The images in folds, with the sides that they have for the model of ``fold``.

        ``test`` is the fold itself, on which the model is judged; ``val`` the next one (the first after the last),
        which chooses all that is chosen; ``train`` the others. Nothing of the real test side is in it, so that what
        follows need not know that this is a fold.

        Raises
        ------
        UserError
            If there is no such fold, a class is missing from one, or the folds are of another cohort.
        ValueError
            If a group is in two folds.
        """
        if not 1 <= fold <= self.count:
            raise UserError(f"there is no fold {fold}: cross_validation.folds has 1 to {self.count}")
        table = self.frame.set_index("image").reindex(whole.frame["image"])
        number = table["fold"].reset_index(drop=True)
        inside = number.notna().to_numpy()
        sealed = ~whole.frame["subset"].isin([Subset.TRAIN.value, Subset.VAL.value]).to_numpy()
        if inside.sum() != len(self.frame) or (inside & sealed).any():
            raise UserError(f"{PATH} is of another cohort: run 'dvc repro' to make it again")
        roles = dict.fromkeys(range(1, self.count + 1), Subset.TRAIN.value)
        roles |= {fold % self.count + 1: Subset.VAL.value, fold: Subset.TEST.value}
        frame = whole.frame[inside].reset_index(drop=True).assign(group=table["group"].to_numpy()[inside])
        numbers = number[inside].astype(int).reset_index(drop=True)
        self._require_every_class(frame, numbers, whole.classes)
        return Cohort(frame.assign(subset=numbers.map(roles)), whole.task, whole.classes)

    def _require_every_class(self, frame: pd.DataFrame, numbers: pd.Series, classes: tuple[str, ...]) -> None:
        """All folds at once, so that the first to run refuses and not the last."""
        for name in classes:
            found = set(numbers[frame[f"label:{name}"] == 1])
            for missing in sorted(set(range(1, self.count + 1)) - found):
                raise UserError(
                    f"no patient with '{name}' came to fold {missing}: it needs {self.count} patients of train and val "
                    "at least, in one batch: take fewer folds (cross_validation.folds), or add images of it"
                )

    def write(self, path: Path = PATH) -> None:
        """Write the table; the number of folds travels in its metadata."""
        tables.write(path, self.frame, _SCHEMA.with_metadata({"folds": str(self.count)}))

    @classmethod
    def read(cls, path: Path = PATH) -> "Folds":
        """Read what :meth:`write` wrote. Raises :class:`~stages.runtime.UserError` if it is missing."""
        return cls(tables.read(path, _SCHEMA), int(tables.metadata(path)["folds"]))


def directory(recipe: str, fold: int) -> Path:
    """Where the model lies that is judged on ``fold``: as of a recipe in :mod:`stages.artifacts.model`."""
    return MODELS / recipe / str(fold)


def report_directory(recipe: str) -> Path:
    """What all folds of a recipe say."""
    return REPORTS / recipe


def path(recipe: str) -> Path:
    """crossval.json, as above."""
    return report_directory(recipe) / "crossval.json"


def report_path(recipe: str) -> Path:
    """The page that people read."""
    return report_directory(recipe) / "report.html"


def read(recipe: str) -> dict[str, Any]:
    """Read crossval.json. Raises :class:`UserError` if it is missing."""
    try:
        content: dict[str, Any] = json.loads(path(recipe).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path(recipe)} is not here: run 'dvc repro'") from None
    return content


def write(recipe: str, content: dict[str, Any]) -> None:
    """Write crossval.json; of it metrics.json, the values alone, and plots/folds.csv, a row for each fold."""
    runtime.write_json(path(recipe), content)
    spread = {name: found["sd"] for name, found in content["spread"].items()}
    short = {"mean": _values(content["mean"]), "sd": spread, "pooled": _values(content["pooled"])}
    runtime.write_json(report_directory(recipe) / "metrics.json", short)
    rows = [{"fold": one["fold"], **_values(one)} for one in content["folds"]]
    with atomic_file(report_directory(recipe) / "plots" / "folds.csv") as beside:
        pd.DataFrame(rows).to_csv(beside, index=False, lineterminator="\n")


def predictions_schema(classes: tuple[str, ...]) -> pa.Schema:
    """Two rows per image in folds, ``role`` :data:`JUDGED` and :data:`CHOSEN_ON`.

    ``fold``: of the model that made them, so of a judged image its own; ``label:<class>`` (NaN unknown) and
    ``score:<class>`` (probability). Rows of role judged are the out-of-fold predictions, each image once.
    """
    return pa.schema(
        [
            ("image", pa.string()),
            ("patient", pa.string()),
            ("batch", pa.string()),
            ("fold", pa.int32()),
            ("role", pa.string()),
            *((f"label:{name}", pa.float32()) for name in classes),
            *((f"score:{name}", pa.float32()) for name in classes),
        ]
    )


def predictions(held: Cohort, fold: int, scores: npt.NDArray[np.float32]) -> pd.DataFrame:
    """The table of one fold, from its cohort's rows of val and test, in order, and their (N, K) probabilities."""
    roles = {Subset.TEST.value: JUDGED, Subset.VAL.value: CHOSEN_ON}
    keys = held.frame[["image", "patient", "batch", *(f"label:{name}" for name in held.classes)]]
    made = {f"score:{name}": scores[:, k] for k, name in enumerate(held.classes)}
    return keys.assign(fold=fold, role=held.frame["subset"].map(roles), **made)


def write_predictions(recipe: str, frame: pd.DataFrame, classes: tuple[str, ...]) -> None:
    """Write the predictions of all folds."""
    tables.write(report_directory(recipe) / "predictions.parquet", frame, predictions_schema(classes))


def read_predictions(recipe: str, classes: tuple[str, ...]) -> pd.DataFrame:
    """Read what :func:`write_predictions` wrote."""
    return tables.read(report_directory(recipe) / "predictions.parquet", predictions_schema(classes))


def _values(metrics: dict[str, Any]) -> dict[str, float | None]:
    return {name: found["value"] for name, found in metrics.items() if isinstance(found, dict) and "value" in found}
