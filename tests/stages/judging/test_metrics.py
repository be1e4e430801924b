"""Metrics are scikit-learn's, and intervals are what resampling patients one by one gives."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from stages.artifacts.cohort import Task
from stages.evaluate.params import EvaluateParams
from stages.judging import bootstrap, judge, metrics, operating, ranking, resampled
from stages.judging.bootstrap import Resamples
from stages.judging.metrics import Judged
from stages.judging.params import YOUDEN

CLASSES = ("normal", "pneumonia", "effusion")
SECTION = EvaluateParams(resamples=100)


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


def _once(count: int) -> Resamples:
    return Resamples(np.ones((1, count), np.uint8), np.arange(count))


def _all(judged: Judged, resamples: Resamples, cuts: dict[str, float]) -> dict[str, np.ndarray]:
    return metrics.overall(judged, metrics.per_class(judged, cuts, resamples), resamples)


@settings(deadline=None)  # the first use compiles
@given(seed=st.integers(0, 10**6), ties=st.booleans())
def test_binary_metrics_are_sklearns(seed: int, ties: bool) -> None:
    judged = _binary(seed, ties=ties)
    weights = np.random.default_rng(seed).integers(0, 4, (3, len(judged.labels))).astype(np.uint8)
    weights[:, :2] += 1  # both classes stay
    cuts = operating.thresholds(judged, YOUDEN)
    truth, scores = judged.labels[:, 1], judged.scores[:, 1]
    called = scores >= cuts["pneumonia"]
    found = _all(judged, Resamples(weights, np.arange(len(truth))), cuts)
    for row, weight in enumerate(weights):
        options = {"sample_weight": weight, "zero_division": np.nan}
        expected = {
            "auroc": sk.roc_auc_score(truth, scores, sample_weight=weight),
            "auprc": sk.average_precision_score(truth, scores, sample_weight=weight),
            "accuracy": sk.accuracy_score(truth, called, sample_weight=weight),
            "balanced_accuracy": sk.balanced_accuracy_score(truth, called, sample_weight=weight),
            "f1": sk.f1_score(truth, called, sample_weight=weight),
            "sensitivity": sk.recall_score(truth, called, sample_weight=weight),
            "specificity": sk.recall_score(truth, called, pos_label=0, sample_weight=weight),
            "ppv": sk.precision_score(truth, called, **options),
            "npv": sk.precision_score(truth, called, pos_label=0, **options),
            "brier": sk.brier_score_loss(truth, scores, sample_weight=weight),
        }
        assert {name: values[row] for name, values in found.items()} == pytest.approx(expected, nan_ok=True)


@settings(deadline=None)
@given(seed=st.integers(0, 10**6))
def test_multiclass_metrics_are_sklearns(seed: int) -> None:
    judged = _multiclass(seed)
    truth, best = judged.labels.argmax(1), judged.scores.argmax(1)
    cuts = operating.thresholds(judged, YOUDEN)
    called = judged.scores >= [cuts[name] for name in CLASSES]
    once = _once(len(truth))
    found = {name: values[0] for name, values in _all(judged, once, cuts).items()}
    assert found == pytest.approx(
        {
            "auroc": sk.roc_auc_score(truth, judged.scores, multi_class="ovr", average="macro"),
            "auprc": sk.average_precision_score(judged.labels, judged.scores, average="macro"),
            "accuracy": sk.accuracy_score(truth, best),
            "balanced_accuracy": sk.balanced_accuracy_score(truth, best),
            "f1": sk.f1_score(truth, best, average="macro"),
            "sensitivity": sk.recall_score(judged.labels, called, average="macro"),
            "specificity": sk.recall_score(1 - judged.labels, ~called, average="macro"),
            "ppv": sk.precision_score(judged.labels, called, average="macro", zero_division=np.nan),
            "npv": sk.precision_score(1 - judged.labels, ~called, average="macro", zero_division=np.nan),
            "brier": ((judged.scores - judged.labels) ** 2).sum(axis=1).mean(),
        },
        nan_ok=True,
    )
    heap = {name: values[0] for name, values in metrics.micro(judged, cuts, once).items()}
    assert heap["auroc"] == pytest.approx(sk.roc_auc_score(judged.labels, judged.scores, average="micro"))
    assert heap["auprc"] == pytest.approx(sk.average_precision_score(judged.labels, judged.scores, average="micro"))
    assert heap["f1"] == pytest.approx(sk.f1_score(judged.labels, called, average="micro"))
    assert heap["sensitivity"] == pytest.approx(sk.recall_score(judged.labels, called, average="micro"))


def test_an_unknown_label_has_no_say() -> None:
    whole = _binary(3)
    labels = np.r_[whole.labels, np.full((5, 2), np.nan)]
    scores = np.r_[whole.scores, np.random.default_rng(0).random((5, 2))]
    padded = Judged(Task.MULTILABEL, whole.classes, labels, scores)
    bare = Judged(Task.MULTILABEL, whole.classes, whole.labels, whole.scores)
    cuts = operating.thresholds(bare, YOUDEN)
    assert operating.thresholds(padded, YOUDEN) == cuts
    for of in (_all, lambda judged, once, cuts: metrics.micro(judged, cuts, once)):
        found, expected = (of(j, _once(len(j.labels)), cuts) for j in (padded, bare))
        assert {name: value[0] for name, value in found.items()} == pytest.approx(
            {name: value[0] for name, value in expected.items()}
        )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), ties=st.booleans())
def test_areas_of_resamples_are_those_of_weighted_images(seed: int, ties: bool) -> None:
    judged = _binary(seed, ties=ties)
    patients = [f"p{n}" for n in np.random.default_rng(seed).integers(0, 25, len(judged.labels))]
    resamples = bootstrap.resample(patients, 30, seed)
    ranked = ranking.rank(judged.labels[:, 1], judged.scores[:, 1])
    weights = resamples.counts[:, resamples.member].astype(float)
    area, precision = resampled.areas(ranked, resamples)
    assert area == pytest.approx(ranking.auroc(ranked, weights), nan_ok=True)
    assert precision == pytest.approx(ranking.average_precision(ranked, weights), nan_ok=True)


def test_a_class_that_is_absent_has_no_value_rather_than_a_wrong_one() -> None:
    for labels in (np.ones(4), np.zeros(4), np.full(4, np.nan)):
        ranked = ranking.rank(labels, np.arange(4.0))
        assert np.isnan(ranking.auroc(ranked, np.ones((1, 4)))[0])
        assert np.isnan(ranking.average_precision(ranked, np.ones((1, 4)))[0])
        assert np.isnan(resampled.areas(ranked, _once(4))).all()


def test_a_resample_draws_patients_whole() -> None:
    patients = ["a", "b", "a", "c", "c", "c"]
    drawn = bootstrap.resample(patients, 200, seed=1)
    assert (drawn.counts[0] == 1).all(), "the data as they are"
    assert (drawn.counts.sum(axis=1) == 3).all(), "as many patients as there are"
    weights = drawn.counts[:, drawn.member]
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 3] == weights[:, 5]).all()
    assert (bootstrap.resample(patients, 200, seed=1).counts == drawn.counts).all()
    assert (bootstrap.resample(patients, 200, seed=2).counts != drawn.counts).any()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_sums_are_those_of_the_images_drawn(seed: int) -> None:
    random = np.random.default_rng(seed)
    drawn = bootstrap.resample([f"p{n}" for n in random.integers(0, 9, 40)], 20, seed)
    values = random.normal(size=(40, 3))
    assert drawn.sums(values) == pytest.approx(drawn.counts[:, drawn.member].astype(float) @ values)
    rows = random.random(40) < 0.5
    part = drawn.part(rows)
    assert part.sums(values[rows]) == pytest.approx(drawn.sums(values * rows[:, None]))


def test_images_of_one_patient_widen_the_interval() -> None:
    """Copies of an image are no new evidence; an interval over images would be narrower."""
    judged = _binary(5, 40)
    four = Judged(judged.task, judged.classes, judged.labels.repeat(4, axis=0), judged.scores.repeat(4, axis=0))
    patients = np.arange(40).repeat(4).astype(str)

    def widths(names: list[str]) -> list[float]:
        drawn = bootstrap.resample(names, 1000, seed=1)
        area = metrics.per_class(four, {"pneumonia": 0.5}, drawn)["pneumonia"]["auroc"]
        return [float(np.ptp(np.percentile(area, (2.5, 97.5)))), judge.areas(four, drawn)["pneumonia"].error]

    for by_patient, by_image in zip(widths(list(patients)), widths([str(n) for n in range(160)]), strict=True):
        assert by_patient > 1.6 * by_image


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_intervals_hold_their_value_and_leave_out_what_has_none(seed: int) -> None:
    drawn = np.random.default_rng(seed).normal(0.5, 0.1, 500)
    drawn[::7] = np.nan
    found = bootstrap.intervals({"x": np.r_[0.5, drawn], "y": np.full(3, np.nan)})
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
    found = judge.judge(frame, Task.BINARY, CLASSES[:2], SECTION, seed=1)
    other = frame.copy()
    test = other["subset"] == "test"
    other.loc[test, "score:pneumonia"] = other.loc[test, "score:pneumonia"].to_numpy()[::-1]
    again = judge.judge(other, Task.BINARY, CLASSES[:2], SECTION, seed=1)
    assert again["thresholds"] == found["thresholds"]
    assert again["val"] == found["val"]
    assert again["test"] != found["test"]


def test_a_share_that_all_patients_agree_on_has_an_interval_all_the_same() -> None:
    """Every resample says 1; but ten patients of whom all were found do not say that everyone will be."""
    truth = np.tile([0.0, 1.0], 40)
    scores = np.where(truth == 1, 0.9, 0.1)
    frame = _predictions(Judged(Task.BINARY, CLASSES[:2], np.c_[1 - truth, truth], np.c_[1 - scores, scores]), val=40)
    found = judge.judge(frame, Task.BINARY, CLASSES[:2], SECTION, seed=1)["test"]
    for name in ("sensitivity", "specificity", "ppv", "npv", "accuracy"):
        assert found[name] == {"value": 1.0, "low": pytest.approx(0.025 ** (1 / 20), abs=1e-6), "high": 1.0}
        assert name == "accuracy" or found["operating"]["pneumonia"][name] == found[name]


def test_the_threshold_that_is_written_down_gives_the_sensitivity_that_is_written_down() -> None:
    frame = _predictions(_binary(9, 200, ties=False), val=100)
    found = judge.judge(frame, Task.BINARY, CLASSES[:2], SECTION, seed=1)
    for side in ("val", "test"):
        rows = frame[frame["subset"] == side]
        called = rows["score:pneumonia"] >= found["thresholds"]["pneumonia"]
        assert found[side]["sensitivity"]["value"] == pytest.approx(
            sk.recall_score(rows["label:pneumonia"], called), abs=1e-6
        )
