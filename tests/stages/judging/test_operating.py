"""Thresholds do on val what their rule says, and PPV at a prevalence is what Bayes' rule and counting give."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn import metrics as sk

from stages.artifacts.cohort import Task
from stages.evaluate.params import EvaluateParams
from stages.judging import bootstrap, judge, metrics, operating, ranking
from stages.judging.metrics import Judged
from stages.judging.params import YOUDEN, Rule
from stages.runtime import UserError


def _images(seed: int, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = np.r_[0, 1, random.integers(0, 2, 58)].astype(float)
    scores = np.clip(random.normal(0.4 + 0.2 * truth, 0.2), 0, 1)
    return truth, scores.round(1) if ties else scores.astype(np.float32).astype(float)


def _reached(truth: np.ndarray, scores: np.ndarray, cut: float) -> tuple[float, float]:
    called = scores >= cut
    return sk.recall_score(truth, called), sk.recall_score(truth, called, pos_label=0)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 10**6), ties=st.booleans(), share=st.floats(0.05, 0.95))
def test_each_rule_is_the_best_of_all_thresholds(seed: int, ties: bool, share: float) -> None:
    truth, scores = _images(seed, ties)
    ranked = ranking.rank(truth, scores)
    every = [*np.unique(scores), scores.max() + 1]
    reached = [_reached(truth, scores, cut) for cut in every]

    youden = _reached(truth, scores, operating.threshold(ranked, YOUDEN))
    assert sum(youden) == pytest.approx(max(sum(one) for one in reached))

    sensitivity = _reached(truth, scores, operating.threshold(ranked, Rule(sensitivity=share)))
    assert sensitivity[0] >= share
    assert sensitivity[1] == max(one[1] for one in reached if one[0] >= share), (
        "no threshold does as well at less alarm"
    )

    specificity = _reached(truth, scores, operating.threshold(ranked, Rule(specificity=share)))
    assert specificity[1] >= share
    assert specificity[0] == max(one[0] for one in reached if one[1] >= share)

    def cost(one: tuple[float, float]) -> float:
        return 5 * (1 - one[0]) * truth.sum() + (1 - one[1]) * (1 - truth).sum()

    cheapest = _reached(truth, scores, operating.threshold(ranked, Rule(cost=5)))
    assert cost(cheapest) == pytest.approx(min(cost(one) for one in reached))


def test_a_specificity_that_no_score_reaches_calls_nothing() -> None:
    ranked = ranking.rank(np.array([0.0, 1.0, 0.0]), np.array([0.9, 0.5, 0.1]))
    assert 0.9 < operating.threshold(ranked, Rule(specificity=0.9)) < 0.901


def test_a_rule_names_one_thing() -> None:
    for wrong in ({}, {"sensitivity": 0.9, "cost": 2}, {"sensitivity": 1.0}, {"cost": -1}):
        with pytest.raises(ValidationError):
            Rule(**wrong)
    assert EvaluateParams(resamples=100, threshold={"specificity": 0.9}).threshold == Rule(specificity=0.9)


def test_a_class_that_val_knows_nothing_of_is_an_error() -> None:
    judged = Judged(Task.MULTILABEL, ("a", "b"), np.array([[0, np.nan], [1, np.nan]]), np.full((2, 2), 0.5))
    with pytest.raises(UserError, match="'b'"):
        operating.thresholds(judged, YOUDEN)


@given(sensitivity=st.floats(0.01, 1), specificity=st.floats(0, 1), prevalence=st.floats(0.01, 0.99))
def test_predictive_values_are_what_counting_a_million_patients_gives(
    sensitivity: float, specificity: float, prevalence: float
) -> None:
    sick, well = 1e6 * prevalence, 1e6 * (1 - prevalence)
    hits, alarms = sick * sensitivity, well * (1 - specificity)
    ppv = operating.predictive(np.array([sensitivity]), np.array([specificity]), prevalence)
    assert ppv[0] == pytest.approx(hits / (hits + alarms))


def test_a_perfect_specificity_of_few_does_not_promise_that_every_positive_is_one() -> None:
    """Of twenty negatives none was called: the specificity may be 0.83, and at 2 % then most positives are false."""
    truth = np.tile([0.0, 1.0], 20)
    scores = np.where(truth == 1, 0.9, 0.1)
    judged = Judged(Task.BINARY, ("normal", "sick"), np.c_[1 - truth, truth], np.c_[1 - scores, scores])
    drawn = bootstrap.resample([str(n) for n in range(40)], 100, 1)
    cuts, found = {"sick": 0.5}, metrics.per_class(judged, {"sick": 0.5}, drawn)
    entries = {"sick": judge.entries(found["sick"], judge.people(judged, cuts, drawn)[0]["sick"])}
    point = operating.points(found, entries, cuts, {"sick": 0.02})["sick"]
    assert point["ppv_at_prevalence"]["value"] == 1
    low = 0.025 ** (1 / 20)
    assert point["ppv_at_prevalence"]["low"] == pytest.approx(low * 0.02 / (low * 0.02 + (1 - low) * 0.98), abs=1e-5)
    assert point["lr_negative"] == {"value": 0, "low": 0, "high": pytest.approx((1 - low) / low, abs=1e-5)}
    assert point["lr_positive"]["high"] is None, "no upper end"


def test_at_the_prevalence_of_the_images_predictive_values_are_theirs() -> None:
    truth, scores = _images(4, ties=False)
    judged = Judged(Task.BINARY, ("normal", "sick"), np.c_[1 - truth, truth], np.c_[1 - scores, scores])
    drawn = bootstrap.resample([str(n) for n in range(60)], 100, 1)
    cuts = operating.thresholds(judged, YOUDEN)
    found = metrics.per_class(judged, cuts, drawn)
    entries = {"sick": bootstrap.intervals(found["sick"])}
    points = operating.points(found, entries, cuts, {"sick": truth.mean()})["sick"]
    for name in ("ppv", "npv"):
        assert points[f"{name}_at_prevalence"]["value"] == pytest.approx(points[name]["value"], abs=1e-6)
    called = scores >= cuts["sick"]
    positive, negative = sk.class_likelihood_ratios(truth, called)
    assert points["lr_positive"]["value"] == pytest.approx(positive, abs=1e-5)
    assert points["lr_negative"]["value"] == pytest.approx(negative, abs=1e-5)
