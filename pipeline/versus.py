"""Two models on the same sealed images: what ``radrepro compare A B`` says.

Each table of predictions carries its val side too, so thresholds are found anew, by one rule for both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline import text
from stages.artifacts.cohort import Subset, Task
from stages.evaluate.params import EvaluateParams
from stages.judging import bootstrap, judge, metrics, operating, paired
from stages.judging.judge import judged
from stages.runtime import UserError


@dataclass(frozen=True)
class Contender:
    """A model's name, as the user gave it, and its predictions (:mod:`stages.artifacts.evaluation`)."""

    name: str
    predictions: pd.DataFrame


def compare(
    first: Contender, second: Contender, task: Task, classes: tuple[str, ...], section: EvaluateParams, seed: int
) -> dict[str, Any]:
    """Metrics of both on the test images that both were judged on, and tests of the difference, first less second.

    Raises
    ------
    UserError
        If no test image is common to both.
    """
    rows = _common(first, second, classes)
    pair = judged(rows[0], task, classes), judged(rows[1], task, classes)
    cuts = _thresholds(first, task, classes, section), _thresholds(second, task, classes, section)
    drawn = bootstrap.resample(rows[0]["patient"].tolist(), section.resamples, seed)
    whole = metrics.whole(pair[0], cuts[0], drawn), metrics.whole(pair[1], cuts[1], drawn)
    single = [
        judge.entries(found, judge.people(side, cut, drawn)[1])
        for found, side, cut in zip(whole, pair, cuts, strict=True)
    ]
    return {
        "models": [first.name, second.name],
        "images": len(rows[0]),
        "patients": int(rows[0]["patient"].nunique()),
        "left_out": [len(_test(one)) - len(rows[0]) for one in (first, second)],
        "metrics": {name: [side[name] for side in single] for name in metrics.NAMES},
        "difference": paired.differences(*whole),
        "delong": paired.delong(*pair, drawn),
        "mcnemar": paired.mcnemar(*pair, cuts, drawn),
    }


def words(found: Mapping[str, Any]) -> str:
    """The same for people."""
    one, other = found["models"]
    rows = [
        [name, *(_interval(side) for side in found["metrics"][name]), _interval(found["difference"][name], "+")]
        for name in metrics.NAMES
    ]
    table = text.table(["on test", one, other, f"{one} less {other}"], rows)
    decided = found["mcnemar"]
    left = [f"{count} of {name}" for name, count in zip(found["models"], found["left_out"], strict=True) if count]
    return "\n".join(
        [
            f"{found['images']} images of {found['patients']} patients that both were judged on"
            + (f"; left out, for the other has them not or with another label: {', '.join(left)}" if left else ""),
            "",
            table,
            "",
            f"DeLong   AUROC {_interval(found['delong']['difference'], '+')}, p {_p(found['delong']['p'])}",
            (
                f"McNemar  {decided['only_first']} decisions only {one} gets right, {decided['only_second']} only "
                f"{other}, p {_p(decided['p'])}"
            ),
            "Intervals are 95 %, by drawing the same patients for both; one that holds 0 may be chance.",
        ]
    )


def _test(model: Contender) -> pd.DataFrame:
    table = model.predictions
    return table[table["subset"] == Subset.TEST.value]


def _common(first: Contender, second: Contender, classes: tuple[str, ...]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The test images of both, in one order, whose labels are the same in both."""
    one, other = (_test(model).set_index("image") for model in (first, second))
    keys = one.index.intersection(other.index).sort_values()
    one, other = one.loc[keys], other.loc[keys]
    labels = [f"label:{name}" for name in classes]
    same = np.array((one[labels].eq(other[labels]) | (one[labels].isna() & other[labels].isna())).all(axis=1))
    if not same.any():
        raise UserError(
            f"{first.name} and {second.name} were judged on no common test image: compare models of the same cohort"
        )
    return one[same].reset_index(), other[same].reset_index()


def _thresholds(model: Contender, task: Task, classes: tuple[str, ...], section: EvaluateParams) -> dict[str, float]:
    val = model.predictions[model.predictions["subset"] == Subset.VAL.value]
    return operating.thresholds(judged(val, task, classes), section.threshold)


def _interval(entry: Mapping[str, float | None], sign: str = "") -> str:
    if entry["value"] is None:
        return "undefined"
    return "{:{s}.3f} ({:{s}.3f} to {:{s}.3f})".format(entry["value"], entry["low"], entry["high"], s=sign)


def _p(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3g}"
