"""What was held out whole is judged, and the drop is test less external, with an interval of two independent sides."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from stages.artifacts.cohort import Task
from stages.evaluate import external_section as section
from stages.evaluate.params import EvaluateParams
from stages.judging import judge, metrics

PARAMS = EvaluateParams(resamples=1000)
CLASSES = ("normal", "sick")


def predictions(external: float | None, seed: int = 0) -> pd.DataFrame:
    """300 patients a side, told with skill 2 here and ``external`` elsewhere, if anywhere."""
    random = np.random.default_rng(seed)
    sides = {"val": 2.0, "test": 2.0} | ({} if external is None else {"external": external})
    parts = []
    for name, skill in sides.items():
        sick = random.random(300) < 0.4
        score = 1 / (1 + np.exp(-(skill * (sick - 0.5) + random.normal(size=300))))
        labels = {"label:normal": 1.0 - sick, "label:sick": sick.astype(float)}
        ids = {"image": [f"{name}{n}" for n in range(300)], "patient": [f"{name}{n}" for n in range(300)]}
        parts.append(pd.DataFrame(ids | labels | {"score:normal": 1 - score, "score:sick": score}).assign(subset=name))
    return pd.concat(parts, ignore_index=True)


def test_the_drop_is_test_less_external_for_every_metric() -> None:
    table = predictions(0.5)
    found = judge.judge(table, Task.BINARY, CLASSES, PARAMS, 1)
    area = {name: roc_auc_score(side["label:sick"], side["score:sick"]) for name, side in table.groupby("subset")}
    assert found["external"]["auroc"]["value"] == pytest.approx(area["external"], abs=1e-6)
    drop = found["external"]["drop"]
    assert set(drop) == set(metrics.NAMES)
    assert drop["auroc"]["value"] == pytest.approx(area["test"] - area["external"], abs=2e-6)
    assert drop["auroc"]["low"] > 0, "what was planted"
    # of independent sides the variances add up; DeLong's are another way to them
    error = np.hypot(*(_width(found[side]["delong"]["auroc"]) for side in ("test", "external")))
    assert _width(drop["auroc"]) == pytest.approx(error, rel=0.1)

    facts = section.facts(found)
    assert [fact.label for fact in facts] == ["AUROC elsewhere (external)", "Test less external"]
    assert facts[1].value == f"{drop['auroc']['value']:.3f}"
    assert "300 patients held out whole" in facts[0].note
    (rows,) = section.tables(found)
    assert rows.rows[0][0] == "AUROC"
    assert "held out whole" in section.note(found)


def test_where_nothing_is_lost_the_interval_holds_nothing_about_nineteen_times_in_twenty() -> None:
    runs, quick = 60, EvaluateParams(resamples=200)
    held = 0
    for seed in range(runs):
        found = judge.judge(predictions(2.0, seed), Task.BINARY, CLASSES, quick, 1)["external"]["drop"]["auroc"]
        held += found["low"] <= 0 <= found["high"]
    assert held / runs > 0.85  # three standard errors below 0.95


def test_without_an_external_side_there_is_none_and_the_other_sides_are_the_same() -> None:
    found = judge.judge(predictions(None), Task.BINARY, CLASSES, PARAMS, 1)
    both = judge.judge(predictions(0.5), Task.BINARY, CLASSES, PARAMS, 1)
    assert "external" not in found
    assert (found["val"], found["test"]) == (both["val"], both["test"])
    assert section.facts(found) == section.tables(found) == []
    assert "nothing is known of how" in section.note(found)


def test_an_external_side_of_one_class_has_what_can_be_said_of_it() -> None:
    table = predictions(0.5)
    outside = table["subset"] == "external"
    table.loc[outside, ["label:normal", "label:sick"]] = [1.0, 0.0]
    found = judge.judge(table, Task.BINARY, CLASSES, PARAMS, 1)["external"]
    assert found["auroc"]["value"] is None
    assert found["drop"]["auroc"] == {"value": None, "low": None, "high": None}
    assert found["drop"]["specificity"]["value"] is not None
    assert section.facts({"external": found})[1].value == "undefined"


def _width(entry: dict[str, float]) -> float:
    return entry["high"] - entry["low"]
