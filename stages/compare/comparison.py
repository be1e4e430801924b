"""Recipes side by side: what each is worth, what it costs, and whether a difference is more than chance."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from stages.artifacts.cohort import Subset, Task
from stages.artifacts.model import Training
from stages.judging import bootstrap, metrics, paired
from stages.judging.judge import judged

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
    recipe's difference to it comes with a paired interval of each metric in ``KEPT``, DeLong's test of AUROC and
    McNemar's of the decisions; with the p values adjusted by Holm for the number of recipes (``p_holm``).
    """
    best = max(recipes, key=lambda name: _value(found[name]["val"]["auroc"]))
    sides = {name: table[table["subset"] == Subset.TEST.value] for name, table in predictions.items()}
    first = sides[best]
    for name, side in sides.items():
        if side["image"].tolist() != first["image"].tolist():
            raise ValueError(f"{name} and {best} were judged on different images")
    drawn = bootstrap.resample(first["patient"].tolist(), resamples, seed)
    images = {name: judged(side, task, classes) for name, side in sides.items()}
    drawn_metrics = {name: metrics.whole(images[name], found[name]["thresholds"], drawn) for name in recipes}
    others = [name for name in recipes if name != best]
    against: dict[str, dict[str, Any]] = {}
    for name in others:
        pair = images[name], images[best]
        cuts = found[name]["thresholds"], found[best]["thresholds"]
        against[name] = {
            **paired.differences(drawn_metrics[name], drawn_metrics[best], KEPT),
            "delong": paired.delong(*pair, drawn),
            "mcnemar": paired.mcnemar(*pair, cuts, drawn),
        }
    for test in ("delong", "mcnemar"):
        for name, p in zip(others, paired.holm([against[name][test]["p"] for name in others]), strict=True):
            against[name][test]["p_holm"] = p
    return {
        "best": best,
        "recipes": {
            name: {
                "test": {metric: found[name]["test"][metric] for metric in KEPT},
                "val": {metric: found[name]["val"][metric] for metric in KEPT},
                "external": _elsewhere(found[name]),
                "difference_to_best": against.get(name),
                **{key: trained[name][key] for key in _COSTS},  # type: ignore[literal-required]
            }
            for name in recipes
        },
    }


_COSTS = ("architecture", "strategy", "weights", "trainable_parameters", "parameters", "epochs", "images_seen")


def _elsewhere(found: Mapping[str, Any]) -> dict[str, Any] | None:
    """AUROC of what was held out whole, and how much less than test's it is; None if nothing was."""
    side = found.get(Subset.EXTERNAL.value)
    return side and {"auroc": side["auroc"], "drop": side["drop"]["auroc"]}


def _value(entry: Mapping[str, float | None]) -> float:
    value = entry["value"]
    return -1.0 if value is None else value
