"""Metrics are scikit-learn's, and intervals are what resampling patients one by one gives."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from stages.artifacts.cohort import Task
from stages.judging import bootstrap, judge, metrics, ranking
from stages.judging.metrics import Judged

CLASSES = ("normal", "pneumonia", "effusion")


def _binary(seed: int, count: int = 60, ties: bool = True) -> Judged:
    random = np.random.default_rng(seed)
    positive = np.r_[0, 1, random.integers(0, 2, count - 2)].astype(float)
    scores = np.clip(random.normal(0.4 + 0.2 * positive, 0.2), 0, 1)
    scores = scores.round(1 if ties else 9)
    return Judged(Task.BINARY, CLASSES[:2], np.c_[1 - positive, positive], np.c_[1 - scores, scores])


def _multiclass(seed: int, count: int = 60) -> Judged:
    random = np.random.default_rng(seed)
    labels = np.eye(3)[np.r_[0, 1, 2, random.integers(0, 3, count - 3)]]
    scores = random.dirichlet([1, 1, 1], count) * 0.6 + labels * random.random((count, 1)) * 0.4
    return Judged(Task.MULTICLASS, CLASSES, labels, scores / scores.sum(axis=1, keepdims=True))


@given(seed=st.integers(0, 10**6), ties=st.booleans())
def test_binary_metrics_are_sklearns(seed: int, ties: bool) -> None:
    judged = _binary(seed, ties=ties)
    weights = np.random.default_rng(seed).integers(0, 4, (3, len(judged.labels))).astype(float)
    weights[:, :2] += 1  # both classes stay
    cuts = metrics.thresholds(judged)
    truth, scores = judged.labels[:, 1], judged.scores[:, 1]
    called = scores >= cuts["pneumonia"]
    found = metrics.all_metrics(judged, cuts, weights)
    for row, weight in enumerate(weights):
        expected = {
            "auroc": sk.roc_auc_score(truth, scores, sample_weight=weight),
            "auprc": sk.average_precision_score(truth, scores, sample_weight=weight),
            "accuracy": sk.accuracy_score(truth, called, sample_weight=weight),
            "balanced_accuracy": sk.balanced_accuracy_score(truth, called, sample_weight=weight),
            "f1": sk.f1_score(truth, called, sample_weight=weight),
            "sensitivity": sk.recall_score(truth, called, sample_weight=weight),
            "specificity": sk.recall_score(truth, called, pos_label=0, sample_weight=weight),
            "brier": sk.brier_score_loss(truth, scores, sample_weight=weight),
        }
        assert {name: values[row] for name, values in found.items()} == pytest.approx(expected)


@given(seed=st.integers(0, 10**6))
def test_multiclass_metrics_are_sklearns(seed: int) -> None:
    judged = _multiclass(seed)
    truth, best = judged.labels.argmax(1), judged.scores.argmax(1)
    once = np.ones((1, len(truth)))
    cuts = metrics.thresholds(judged)
    called = judged.scores >= [cuts[name] for name in CLASSES]
    found = {name: values[0] for name, values in metrics.all_metrics(judged, cuts, once).items()}
    assert found == pytest.approx(
        {
            "auroc": sk.roc_auc_score(truth, judged.scores, multi_class="ovr", average="macro"),
            "auprc": sk.average_precision_score(judged.labels, judged.scores, average="macro"),
            "accuracy": sk.accuracy_score(truth, best),
            "balanced_accuracy": sk.balanced_accuracy_score(truth, best),
            "f1": sk.f1_score(truth, best, average="macro"),
            "sensitivity": sk.recall_score(judged.labels, called, average="macro"),
            "specificity": sk.recall_score(1 - judged.labels, ~called, average="macro"),
            "brier": ((judged.scores - judged.labels) ** 2).sum(axis=1).mean(),
        }
    )


def test_an_unknown_label_has_no_say() -> None:
    whole = _binary(3)
    labels = np.r_[whole.labels, np.full((5, 2), np.nan)]
    scores = np.r_[whole.scores, np.random.default_rng(0).random((5, 2))]
    padded = Judged(Task.MULTILABEL, whole.classes, labels, scores)
    bare = Judged(Task.MULTILABEL, whole.classes, whole.labels, whole.scores)
    cuts = metrics.thresholds(bare)
    assert metrics.thresholds(padded) == cuts
    found, expected = (metrics.all_metrics(j, cuts, np.ones((1, len(j.labels)))) for j in (padded, bare))
    assert {name: value[0] for name, value in found.items()} == pytest.approx(
        {name: value[0] for name, value in expected.items()}
    )


def test_youdens_threshold_is_the_best_that_scores_can_reach() -> None:
    judged = _binary(11, ties=False)
    truth, scores = judged.labels[:, 1], judged.scores[:, 1]
    cut = ranking.youden(ranking.rank(truth, scores))
    best = max(sk.balanced_accuracy_score(truth, scores >= value) for value in scores)
    assert sk.balanced_accuracy_score(truth, scores >= cut) == pytest.approx(best)


def test_a_class_that_is_absent_has_no_value_rather_than_a_wrong_one() -> None:
    ranked = ranking.rank(np.ones(4), np.arange(4.0))
    assert np.isnan(ranking.auroc(ranked, np.ones((1, 4)))[0])
    assert np.isnan(ranking.average_precision(ranked, np.ones((1, 4)))[0])
    assert np.isnan(ranking.auroc(ranking.rank(np.full(3, np.nan), np.arange(3.0)), np.ones((1, 3)))[0])


def test_a_resample_draws_patients_whole() -> None:
    patients = ["a", "b", "a", "c", "c", "c"]
    weights = bootstrap.resample(patients, 200, seed=1)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 3] == weights[:, 4]).all()
    assert (weights[:, 0] + weights[:, 1] + weights[:, 3] == 3).all(), "as many patients as there are"
    assert (bootstrap.resample(patients, 200, seed=1) == weights).all()
    assert (bootstrap.resample(patients, 200, seed=2) != weights).any()


def test_images_of_one_patient_widen_the_interval() -> None:
    """Copies of an image are no new evidence; an interval over images would be narrower."""
    judged = _binary(5, 40)
    four = Judged(judged.task, judged.classes, judged.labels.repeat(4, axis=0), judged.scores.repeat(4, axis=0))
    patients = np.arange(40).repeat(4).astype(str)

    def width(names: list[str]) -> float:
        weights = bootstrap.resample(names, 1000, seed=1)
        area = metrics.per_class(four, weights)["pneumonia"]
        return float(np.ptp(np.percentile(area, (2.5, 97.5))))

    assert width(list(patients)) > 1.6 * width([str(n) for n in range(160)])


@settings(max_examples=20)
@given(seed=st.integers(0, 1000))
def test_intervals_hold_their_value_and_leave_out_what_has_none(seed: int) -> None:
    values = {"x": np.array([0.5]), "y": np.array([np.nan])}
    drawn = np.random.default_rng(seed).normal(0.5, 0.1, 500)
    drawn[::7] = np.nan
    found = bootstrap.intervals(values, {"x": drawn, "y": np.full(3, np.nan)})
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    assert found["x"] == {"value": 0.5, "low": pytest.approx(low, abs=1e-6), "high": pytest.approx(high, abs=1e-6)}
    assert found["y"] == {"value": None, "low": None, "high": None}


def _predictions(judged: Judged, val: int) -> pd.DataFrame:
    count = len(judged.labels)
    frame = pd.DataFrame(
        {
            "image": [f"i{n}" for n in range(count)],
            "patient": [f"p{n // 2}" for n in range(count)],
            "subset": np.where(np.arange(count) < val, "val", "test"),
        }
    )
    for k, name in enumerate(judged.classes):
        frame[f"label:{name}"], frame[f"score:{name}"] = judged.labels[:, k], judged.scores[:, k]
    return frame


def test_thresholds_come_from_val_alone() -> None:
    frame = _predictions(_binary(7, 80, ties=False), val=30)
    found = judge.judge(frame, Task.BINARY, CLASSES[:2], 50, seed=1)
    other = frame.copy()
    test = other["subset"] == "test"
    other.loc[test, "score:pneumonia"] = other.loc[test, "score:pneumonia"].to_numpy()[::-1]
    again = judge.judge(other, Task.BINARY, CLASSES[:2], 50, seed=1)
    assert again["thresholds"] == found["thresholds"]
    assert again["val"] == found["val"]
    assert again["test"] != found["test"]


def test_the_threshold_that_is_written_down_gives_the_sensitivity_that_is_written_down() -> None:
    frame = _predictions(_binary(9, 200, ties=False), val=100)
    found = judge.judge(frame, Task.BINARY, CLASSES[:2], 50, seed=1)
    for side in ("val", "test"):
        rows = frame[frame["subset"] == side]
        called = rows["score:pneumonia"] >= found["thresholds"]["pneumonia"]
        assert found[side]["sensitivity"]["value"] == pytest.approx(
            sk.recall_score(rows["label:pneumonia"], called), abs=1e-6
        )
