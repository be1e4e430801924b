"""One model's numbers: thresholds from val, metrics of both sides with intervals."""

import math
from typing import Any

import numpy as np
import pandas as pd

from stages.artifacts.cohort import Subset, Task
from stages.judging import bootstrap, metrics
from stages.judging.metrics import Judged

_STEPS = 10**6


def judge(predictions: pd.DataFrame, task: Task, classes: tuple[str, ...], resamples: int, seed: int) -> dict[str, Any]:
    """The content of evaluation.json from the table of predictions (see :mod:`stages.artifacts.evaluation`)."""
    sides = {name: predictions[predictions["subset"] == name.value] for name in (Subset.VAL, Subset.TEST)}
    cuts = {
        name: math.floor(cut * _STEPS) / _STEPS  # as it is written down; rounded down, so that its own image stays in
        for name, cut in metrics.thresholds(judged(sides[Subset.VAL], task, classes)).items()
    }
    found: dict[str, Any] = {"thresholds": cuts}
    for name, side in sides.items():
        images = judged(side, task, classes)
        once = np.ones((1, len(side)))
        weights = bootstrap.resample(side["patient"].tolist(), resamples, seed)
        found[name.value] = {
            **bootstrap.intervals(metrics.all_metrics(images, cuts, once), metrics.all_metrics(images, cuts, weights)),
            "per_class": bootstrap.intervals(metrics.per_class(images, once), metrics.per_class(images, weights)),
            "images": len(side),
            "patients": int(side["patient"].nunique()),
        }
    return found


def judged(side: pd.DataFrame, task: Task, classes: tuple[str, ...]) -> Judged:
    """Labels and scores of a table of predictions."""
    labels, scores = (
        side[[f"{kind}:{name}" for name in classes]].to_numpy(dtype=np.float64) for kind in ("label", "score")
    )
    return Judged(task, classes, labels, scores)
