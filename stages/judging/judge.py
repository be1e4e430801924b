"""One model's numbers: thresholds from val, metrics of every side with intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from stages.artifacts.cohort import Subset, Task
from stages.evaluate.params import EvaluateParams
from stages.judging import (
    abstention,
    bootstrap,
    calibration,
    conformal,
    external,
    influence,
    metrics,
    operating,
    scores,
    shares,
)
from stages.judging.bootstrap import Floats, Interval, Resamples
from stages.judging.influence import Influence
from stages.judging.metrics import Judged, Metrics

SIDES = (Subset.VAL, Subset.TEST, Subset.EXTERNAL)


def judge(
    predictions: pd.DataFrame,
    task: Task,
    classes: tuple[str, ...],
    section: EvaluateParams,
    seed: int,
    temperature: float | None = None,
) -> dict[str, Any]:
    """The content of evaluation.json from the table of predictions (see :mod:`stages.artifacts.evaluation`).

    ``temperature`` is that of the model. Without it, as for what several models predicted, nothing is said of
    calibration, prediction sets and abstention.
    """
    tables = {name: predictions[predictions["subset"] == name.value] for name in SIDES}
    sides = {name: judged(table, task, classes) for name, table in tables.items() if len(table)}
    cuts = operating.thresholds(sides[Subset.VAL], section.threshold)
    found: dict[str, Any] = {"thresholds": cuts}
    if temperature is not None:
        found["temperature"] = temperature
        of_val = numbered(tables[Subset.VAL]["patient"].tolist())
        found["conformal"] = conformal.calibrate(sides[Subset.VAL], of_val, section.coverage)
    whole: dict[Subset, Metrics] = {}
    for name, images in sides.items():
        of = seed + (name is Subset.EXTERNAL)  # other patients than test's: to compare the two, draws of their own
        resamples = bootstrap.resample(tables[name]["patient"].tolist(), section.resamples, of)
        found[name.value], whole[name] = _side(images, cuts, section, resamples)
        if temperature is not None:
            found[name.value] |= {
                "calibration": calibration.judge(images, logits(tables[name], classes), temperature, resamples),
                "conformal": conformal.judge(images, found["conformal"], resamples),
                "abstention": abstention.judge(images, cuts, resamples),
            }
    if Subset.EXTERNAL in whole:
        found[Subset.EXTERNAL.value]["drop"] = external.drop(whole[Subset.TEST], whole[Subset.EXTERNAL])
    return found


def judged(side: pd.DataFrame, task: Task, classes: tuple[str, ...]) -> Judged:
    """Labels and scores of a table of predictions."""
    return Judged(task, classes, *(_columns(side, kind, classes) for kind in ("label", "score")))


def logits(side: pd.DataFrame, classes: tuple[str, ...]) -> Floats:
    """(N, K) what the network gave, before the temperature."""
    return _columns(side, "logit", classes)


def numbered(patients: Sequence[str]) -> npt.NDArray[np.intp]:
    """(N) the patients of (N) images as numbers."""
    return np.unique(np.asarray(patients, dtype=str), return_inverse=True)[1]


def _columns(side: pd.DataFrame, kind: str, classes: tuple[str, ...]) -> Floats:
    return side[[f"{kind}:{name}" for name in classes]].to_numpy(dtype=np.float64)


def areas(images: Judged, resamples: Resamples) -> dict[str, Influence]:
    """AUROC of each class that counts, with what each patient adds to its error."""
    count = resamples.counts.shape[1]
    return {
        name: influence.auroc(images.labels[:, k], images.scores[:, k], resamples.member, count)
        for k, name in zip(images.columns, images.counted, strict=True)
    }


def _side(
    images: Judged, cuts: dict[str, float], section: EvaluateParams, resamples: Resamples
) -> tuple[dict[str, Any], Metrics]:
    classes = metrics.per_class(images, cuts, resamples)
    whole = metrics.overall(images, classes, resamples)
    patients, fewest = people(images, cuts, resamples)
    by_delong = areas(images, resamples)
    both = [(counts["sensitivity"], counts["specificity"]) for counts in patients.values()]
    mean = influence.mean(list(by_delong.values()))
    one_by_one = {name: entries(found, patients[name]) for name, found in classes.items()}
    found = {
        **entries(whole, fewest),
        "delong": {"auroc": _area(mean, *zip(*both, strict=True))},
        "per_class": {
            name: {**of_class, "delong": {"auroc": _area(by_delong[name], *counts)}}
            for (name, of_class), counts in zip(one_by_one.items(), both, strict=True)
        },
        **({} if images.task is Task.BINARY else {"micro": entries(metrics.micro(images, cuts, resamples), fewest)}),
        "operating": operating.points(classes, one_by_one, cuts, section.prevalence),
        "images": len(images.labels),
        "patients": resamples.counts.shape[1],
    }
    return found, whole


def people(
    images: Judged, cuts: Mapping[str, float], resamples: Resamples
) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
    """How many patients each metric that is a share is of: of each class that counts, and the fewest of all classes."""
    patients = {
        name: {share: len(np.unique(resamples.member[rows])) for share, rows in of.items()}
        for name, of in metrics.grounds(images, cuts).items()
    }
    fewest = {share: min(counts[share] for counts in patients.values()) for share in next(iter(patients.values()))}
    return patients, fewest


def entries(found: Metrics, patients: Mapping[str, int]) -> dict[str, Interval]:
    """With intervals; those of what all patients agree on allow for how few they are.

    ``patients`` are those that each share (accuracy, sensitivity...) is of. What is no share of patients, such as an
    AUROC of 1, rests on the fewer of those with and without the class.
    """
    fewer = min(patients["sensitivity"], patients["specificity"])
    return {
        name: bootstrap.interval(draws) if name == "brier" else shares.interval(draws, patients.get(name, fewer))
        for name, draws in found.items()
    }


def _area(area: Influence, positive: npt.ArrayLike, negative: npt.ArrayLike) -> Interval:
    """DeLong's variance, in an interval that covers as it should near 1 too (:func:`stages.judging.scores.of_area`)."""
    found = scores.of_area(area, positive, negative)
    return bootstrap.entry(found.value, found.low, found.high)
