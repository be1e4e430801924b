"""Recipes side by side: what each is worth, what it costs, and whether a difference is more than chance."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from stages.artifacts.cohort import Subset, Task
from stages.artifacts.model import Training
from stages.judging import bootstrap, metrics
from stages.judging.judge import judged

Floats = npt.NDArray[np.floating]
KEPT = ("auroc", "auprc", "balanced_accuracy", "brier")


def compare(
    recipes: Sequence[str],
    found: Mapping[str, Mapping[str, Any]],
    trained: Mapping[str, Training],
    predictions: Mapping[str, pd.DataFrame],
    task: Task,
    classes: tuple[str, ...],
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """The content of comparison.json.

    ``best`` is the recipe with the highest AUROC on val, the first of equals: test has no say in the choice. Each other
    recipe's difference in test AUROC to it comes with a paired interval: the same patients are drawn for both.
    """
    best = max(recipes, key=lambda name: _value(found[name]["val"]["auroc"]))
    sides = {name: table[table["subset"] == Subset.TEST.value] for name, table in predictions.items()}
    first = sides[best]
    for name, side in sides.items():
        if side["image"].tolist() != first["image"].tolist():
            raise ValueError(f"{name} and {best} were judged on different images")
    weights = bootstrap.resample(first["patient"].tolist(), resamples, seed)
    area = {name: _auroc(side, task, classes, weights) for name, side in sides.items()}
    return {
        "best": best,
        "recipes": {
            name: {
                "test": {metric: found[name]["test"][metric] for metric in KEPT},
                "val": {metric: found[name]["val"][metric] for metric in KEPT},
                "difference_to_best": bootstrap.intervals(
                    {"auroc": area[name][:1] - area[best][:1]}, {"auroc": area[name][1:] - area[best][1:]}
                ),
                **{key: trained[name][key] for key in _COSTS},  # type: ignore[literal-required]
            }
            for name in recipes
        },
    }


_COSTS = ("architecture", "strategy", "weights", "trainable_parameters", "parameters", "epochs", "images_seen")


def _auroc(side: pd.DataFrame, task: Task, classes: tuple[str, ...], weights: Floats) -> Floats:
    """(1 + B): of the images as they are, then of each resample."""
    images = judged(side, task, classes)
    all_weights = np.concatenate([np.ones((1, len(side)), dtype=weights.dtype), weights])
    area: Floats = np.mean(list(metrics.per_class(images, all_weights).values()), axis=0)
    return area


def _value(entry: Mapping[str, float | None]) -> float:
    value = entry["value"]
    return -1.0 if value is None else value
