"""One model's numbers: thresholds from val, metrics of every side with intervals."""

from typing import Any

import numpy as np
import pandas as pd

from stages.artifacts.cohort import Subset, Task
from stages.evaluate.params import EvaluateParams
from stages.judging import bootstrap, influence, metrics, operating
from stages.judging.bootstrap import Interval, Resamples
from stages.judging.influence import Influence
from stages.judging.metrics import Judged

SIDES = (Subset.VAL, Subset.TEST)


def judge(
    predictions: pd.DataFrame, task: Task, classes: tuple[str, ...], section: EvaluateParams, seed: int
) -> dict[str, Any]:
    """The content of evaluation.json from the table of predictions (see :mod:`stages.artifacts.evaluation`)."""
    tables = {name: predictions[predictions["subset"] == name.value] for name in SIDES}
    sides = {name: judged(table, task, classes) for name, table in tables.items() if len(table)}
    cuts = operating.thresholds(sides[Subset.VAL], section.threshold)
    found: dict[str, Any] = {"thresholds": cuts}
    for name, images in sides.items():
        resamples = bootstrap.resample(tables[name]["patient"].tolist(), section.resamples, seed)
        found[name.value] = _side(images, cuts, section, resamples)
    return found


def judged(side: pd.DataFrame, task: Task, classes: tuple[str, ...]) -> Judged:
    """Labels and scores of a table of predictions."""
    labels, scores = (
        side[[f"{kind}:{name}" for name in classes]].to_numpy(dtype=np.float64) for kind in ("label", "score")
    )
    return Judged(task, classes, labels, scores)


def areas(images: Judged, resamples: Resamples) -> dict[str, Influence]:
    """AUROC of each class that counts, with what each patient adds to its error."""
    patients = resamples.counts.shape[1]
    return {
        name: influence.auroc(images.labels[:, k], images.scores[:, k], resamples.member, patients)
        for k, name in zip(images.columns, images.counted, strict=True)
    }


def _side(images: Judged, cuts: dict[str, float], section: EvaluateParams, resamples: Resamples) -> dict[str, Any]:
    classes = metrics.per_class(images, cuts, resamples)
    by_delong = areas(images, resamples)
    return {
        **bootstrap.intervals(metrics.overall(images, classes, resamples)),
        "delong": {"auroc": _share(influence.mean(list(by_delong.values())))},
        "per_class": {
            name: {**bootstrap.intervals(found), "delong": {"auroc": _share(by_delong[name])}}
            for name, found in classes.items()
        },
        **(
            {} if images.task is Task.BINARY else {"micro": bootstrap.intervals(metrics.micro(images, cuts, resamples))}
        ),
        "operating": operating.points(classes, cuts, section.prevalence),
        "images": len(images.labels),
        "patients": resamples.counts.shape[1],
    }


def _share(area: Influence) -> Interval:
    return area.interval((0, 1))
