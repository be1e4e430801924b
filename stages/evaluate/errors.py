"""Every wrong decision with what is known of the image, for people to look into."""

import numpy as np
import pandas as pd

from stages.artifacts import errors
from stages.artifacts.cohort import Task
from stages.evaluate import cases
from stages.judging.metrics import Judged

_OLDEST = 90  # ingest gives any age above 89 as 90


def table(judged: Judged, cuts: dict[str, float], images: pd.DataFrame) -> pd.DataFrame:
    """The columns of :mod:`stages.artifacts.errors` and ``row``, the position among ``images``; the worst first.

    ``images`` are the cohort's rows of the images judged, in their order.
    """
    found = _of_labels(judged, cuts) if judged.task is Task.MULTILABEL else _of_exclusive(judged, cuts)
    found = found.sort_values(["probability", "row"], kind="stable", ignore_index=True)
    known = images.reset_index(drop=True).assign(age_band=images["age"].map(decade).to_numpy())
    of_each = known.loc[found["row"], ["image", "patient", "batch", "subset", *errors.FACTS]].reset_index(drop=True)
    return pd.concat([found, of_each], axis=1)[["row", *errors.COLUMNS]]


def decade(age: float) -> str | None:
    """``60-69``, ``90+``; None where it is not known."""
    if pd.isna(age):
        return None
    start = int(age // 10) * 10
    return f"{_OLDEST}+" if start >= _OLDEST else f"{start}-{start + 9}"


def _of_exclusive(judged: Judged, cuts: dict[str, float]) -> pd.DataFrame:
    actual, said = judged.labels.argmax(axis=1), cases.decided(judged, cuts)
    wrong = np.flatnonzero(actual != said)
    names = np.asarray(judged.classes, dtype=object)
    return pd.DataFrame(
        {
            "row": wrong,
            "actual": names[actual[wrong]],
            "said": names[said[wrong]],
            "probability": judged.scores[wrong, actual[wrong]],
        }
    )


def _of_labels(judged: Judged, cuts: dict[str, float]) -> pd.DataFrame:
    believed, parts = cases.believed(judged), []
    for k, name in enumerate(judged.classes):
        label, called = judged.labels[:, k], judged.scores[:, k] >= cuts[name]
        wrong = np.flatnonzero(~np.isnan(label) & (called != (label == 1)))
        parts.append(
            pd.DataFrame(
                {
                    "row": wrong,
                    "actual": np.where(label[wrong] == 1, name, f"not {name}"),
                    "said": np.where(called[wrong], name, f"not {name}"),
                    "probability": believed[wrong, k],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
