"""Decisions are those that evaluation counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import accuracy_score, confusion_matrix, recall_score

from pipeline.serving.decisions import Rule
from stages.artifacts.cohort import Task
from stages.judging import metrics
from stages.judging.bootstrap import Resamples
from stages.judging.metrics import Judged

CLASSES = ("a", "b", "c")
CUTS = {"a": 0.5, "b": 0.25, "c": 0.45}


def _scores(count: int, classes: int, exclusive: bool) -> np.ndarray:
    scores = np.random.default_rng(3).random((count, classes))
    return scores / scores.sum(axis=1, keepdims=True) if exclusive else scores


def _metrics(task: Task, classes: tuple[str, ...], labels: np.ndarray, scores: np.ndarray, cuts: dict) -> dict:
    once = Resamples(np.ones((1, len(labels)), np.uint8), np.arange(len(labels)))
    judged = Judged(task, classes, labels, scores)
    found = metrics.overall(judged, metrics.per_class(judged, cuts, once), once)
    return {name: float(values[0]) for name, values in found.items()}


def test_several_exclusive_classes_as_accuracy_and_sensitivity_count_them() -> None:
    truth = np.random.default_rng(1).integers(0, 3, 200)
    labels, scores = np.eye(3)[truth], _scores(200, 3, exclusive=True)
    said = [Rule(Task.MULTICLASS, CLASSES, CUTS).decide(row) for row in scores]
    assert all(len(decision.called) == 1 for decision in said)
    judged = _metrics(Task.MULTICLASS, CLASSES, labels, scores, CUTS)
    assert accuracy_score([CLASSES[at] for at in truth], [d.called[0] for d in said]) == pytest.approx(
        judged["accuracy"]
    )
    above = np.array([[name in decision.above for name in CLASSES] for decision in said])
    assert recall_score(labels, above, average="macro") == pytest.approx(judged["sensitivity"])
    assert any(len(decision.above) == 0 for decision in said)
    assert any(len(decision.above) > 1 for decision in said)


def test_two_classes_by_the_threshold_of_the_second_and_not_by_a_half() -> None:
    truth = np.random.default_rng(2).integers(0, 2, 200)
    labels, scores = np.eye(2)[truth], _scores(200, 2, exclusive=True)
    rule = Rule(Task.BINARY, ("no", "yes"), {"yes": 0.3})
    called = [rule.decide(row).called for row in scores]
    judged = _metrics(Task.BINARY, ("no", "yes"), labels, scores, {"yes": 0.3})
    (tn, fp), (fn, tp) = confusion_matrix(truth, [name == ("yes",) for name in called])
    assert tp / (tp + fn) == pytest.approx(judged["sensitivity"])
    assert tn / (tn + fp) == pytest.approx(judged["specificity"])
    assert rule.decide(np.array([0.6, 0.4])).called == ("yes",)


def test_every_label_at_its_threshold_or_above() -> None:
    rule = Rule(Task.MULTILABEL, CLASSES, CUTS)
    assert rule.decide(np.array([0.5, 0.1, 0.9])) == (("a", "c"), ("a", "c"), None)
    assert rule.decide(np.array([0.49, 0.1, 0.2])) == ((), (), None)


@given(arrays(np.float32, 3, elements=st.floats(0, 1, width=32)))
def test_a_class_is_above_exactly_if_its_probability_is_no_less_than_its_threshold(probabilities: np.ndarray) -> None:
    above = Rule(Task.MULTICLASS, CLASSES, CUTS).decide(probabilities).above
    assert {name: name in above for name in CLASSES} == {
        name: float(value) >= CUTS[name] for name, value in zip(CLASSES, probabilities, strict=True)
    }


def test_a_prediction_set_holds_what_is_likely_enough() -> None:
    rule = Rule(Task.MULTICLASS, CLASSES, CUTS, {"all": 0.75})
    assert rule.decide(np.array([0.25, 0.25, 0.5])).prediction_set == CLASSES
    assert rule.decide(np.array([0.2, 0.1, 0.7])).prediction_set == ("c",)
    assert Rule(Task.MULTICLASS, CLASSES, CUTS, {"all": 0.25}).decide(np.array([0.3, 0.3, 0.4])).prediction_set == ()


def test_of_each_label_it_holds_yes_or_no_or_both() -> None:
    rule = Rule(Task.MULTILABEL, CLASSES, CUTS, {"a": 0.75, "b": 0.75, "c": 0.25})
    said = rule.decide(np.array([0.5, 0.125, 0.5])).prediction_set
    assert said == ("a", "not a", "not b")


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_sets_by_a_quantile_of_calibration_images_hold_the_truth_as_often_as_promised(coverage: float) -> None:
    rng = np.random.default_rng(7)

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        scores = rng.dirichlet((1, 1, 1), count)
        return scores, np.array([rng.choice(3, p=row) for row in scores])

    scores, truth = draw(2000)
    quantile = float(np.quantile(1 - scores[np.arange(2000), truth], coverage, method="higher"))
    rule = Rule(Task.MULTICLASS, CLASSES, CUTS, {"all": quantile})
    scores, truth = draw(4000)
    held = [CLASSES[at] in (rule.decide(row).prediction_set or ()) for row, at in zip(scores, truth, strict=True)]
    assert np.mean(held) == pytest.approx(coverage, abs=0.02)
