"""Calibration is scikit-learn's and statsmodels', in parts that add up; its intervals hold what they should."""

import numpy as np
import pytest
import statsmodels.api as sm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve
from statsmodels.stats.proportion import proportion_confint

from stages import networks
from stages.artifacts.cohort import Task
from stages.judging import bootstrap, bundle, calibration, shares
from stages.judging.odds import log_odds
from stages.judging.recalibration import recalibration
from tests.stages.judging.made import made

PARTS = {"brier", "reliability", "resolution", "uncertainty", "within_bins"}


def _found(task, count, temperature=1.0, resamples=100, **more):
    images, logits, patients = made(task, count, **more)
    drawn = bootstrap.resample(patients, resamples, 1)
    found = calibration.judge(images, logits, temperature, drawn)
    return images, logits, found, calibration.diagram(images, logits, temperature, drawn.member)


@pytest.mark.parametrize("task", list(Task))
def test_log_odds_are_those_of_the_probabilities(task):
    _, logits, _ = made(task, 40, overconfidence=3)
    expected = networks.probabilities(torch.from_numpy(logits), task, 1.7).numpy()
    np.testing.assert_allclose(expit(log_odds(logits, task, 1.7)), expected, rtol=1e-10)
    sure = np.array([[400.0, 0.0, 1.0], [0.0, 0.0, -900.0]])
    assert np.isfinite(log_odds(sure, task)).all(), "where a probability is 1 to the last bit"


@settings(max_examples=25, deadline=None)  # on a busy machine
@given(seed=st.integers(0, 10**6))
def test_the_diagram_is_scikit_learns(seed):
    images, _, _, diagram = _found(Task.BINARY, 399, seed=seed)  # no quantile is a score: last bits decide of those
    observed, predicted = calibration_curve(images.labels[:, 1], images.scores[:, 1], n_bins=15, strategy="quantile")
    np.testing.assert_allclose(diagram["observed"], observed, atol=1e-6)
    np.testing.assert_allclose(diagram["predicted"], predicted, atol=1e-6)
    assert diagram["images"].sum() == 399
    assert diagram["images"].between(26, 27).all(), "equal mass"


@pytest.mark.parametrize("task", list(Task))
def test_ece_and_the_parts_of_the_brier_score_are_what_a_loop_finds(task):
    images, _, found, _ = _found(task, 300, overconfidence=2)
    for k in images.columns:
        known = ~np.isnan(images.labels[:, k])
        truth, scores = images.labels[known, k], images.scores[known, k]
        member, base = calibration.bins(scores), truth.mean()
        weighed = [(np.mean(member == b), scores[member == b].mean(), truth[member == b].mean()) for b in set(member)]
        entries = found["uncalibrated"]["per_class"][images.classes[k]], found["per_class"][images.classes[k]]
        for entry in entries:  # at temperature 1 they are one
            assert entry["ece"]["value"] == pytest.approx(sum(w * abs(p - o) for w, p, o in weighed), abs=1e-6)
            assert entry["brier"]["value"] == pytest.approx(sk.brier_score_loss(truth, scores), abs=1e-6)
        whole = {name: entries[1][name]["value"] for name in PARTS}
        assert whole["reliability"] == pytest.approx(sum(w * (p - o) ** 2 for w, p, o in weighed), abs=1e-6)
        assert whole["resolution"] == pytest.approx(sum(w * (o - base) ** 2 for w, _, o in weighed), abs=1e-6)
        assert whole["uncertainty"] == pytest.approx(base * (1 - base), abs=1e-6)
        assert whole["brier"] == pytest.approx(
            whole["reliability"] - whole["resolution"] + whole["uncertainty"] + whole["within_bins"], abs=3e-6
        )


@pytest.mark.parametrize("task", list(Task))
def test_over_classes_they_are_means_and_brier_scores_of_exclusive_classes_add_up(task):
    images, _, found, _ = _found(task, 300)
    each = [found["per_class"][images.classes[k]] for k in images.columns]
    assert found["ece"]["value"] == pytest.approx(np.mean([entry["ece"]["value"] for entry in each]), abs=1e-6)
    add = np.sum if task is Task.MULTICLASS else np.mean
    for name in PARTS:
        assert found[name]["value"] == pytest.approx(add([entry[name]["value"] for entry in each]), abs=3e-6)
    if task is Task.MULTICLASS:
        error = ((images.scores - images.labels) ** 2).sum(axis=1).mean()
        assert found["brier"]["value"] == pytest.approx(error, abs=1e-6)


def test_every_resample_is_what_its_images_give():
    """With bins as they are, so the loop keeps to those of the data."""
    images, _, patients = made(Task.BINARY, 90, each=3)
    drawn = bootstrap.resample(patients, 5, 1)
    truth, scores = images.labels[:, 1], images.scores[:, 1]
    member = calibration.bins(scores)
    said = calibration._said(truth, scores)
    draws = calibration._parts(drawn.sums(said.parts()))
    for row, counts in enumerate(drawn.counts):
        chosen = np.repeat(np.arange(90), counts[drawn.member])
        there = [chosen[member[chosen] == b] for b in set(member[chosen])]
        ece = sum(len(b) * abs(scores[b].mean() - truth[b].mean()) for b in there) / len(chosen)
        assert draws["ece"][row] == pytest.approx(ece)
        assert draws["brier"][row] == pytest.approx(sk.brier_score_loss(truth[chosen], scores[chosen]))
        mean = truth[chosen].mean()
        resolution = sum(len(b) * (truth[b].mean() - mean) ** 2 for b in there) / len(chosen)
        assert draws["resolution"][row] == pytest.approx(resolution)


@pytest.mark.parametrize("each", [1, 4])
def test_slope_and_intercept_are_statsmodels_with_patients_as_clusters(each):
    images, logits, patients = made(Task.BINARY, 400, seed=3, overconfidence=2, each=each)
    odds, truth = log_odds(logits, Task.BINARY)[:, 1], images.labels[:, 1]
    clusters = np.unique(patients, return_inverse=True)[1]
    found = recalibration(truth, odds, clusters)
    way = {"cov_type": "cluster", "cov_kwds": {"groups": clusters}}
    binomial = sm.families.Binomial()
    line = sm.GLM(truth, sm.add_constant(odds), family=binomial).fit(**way, tol=1e-12)
    shift = sm.GLM(truth, np.ones(len(truth)), family=binomial, offset=odds).fit(**way, tol=1e-12)
    for name, model, at in (("intercept", line, 0), ("slope", line, 1), ("in_the_large", shift, 0)):
        low, high = model.conf_int()[at]
        assert found[name] == pytest.approx({"value": model.params[at], "low": low, "high": high}, abs=2e-6)


def test_the_temperature_mends_the_slope_of_a_model_that_is_too_sure():
    _, _, found, _ = _found(Task.BINARY, 4000, temperature=2.5, overconfidence=2.5)
    before, after = found["uncalibrated"]["per_class"]["sick"], found["per_class"]["sick"]
    assert before["slope"]["high"] < 0.6
    assert after["slope"]["low"] < 1 < after["slope"]["high"]
    assert after["slope"]["value"] == pytest.approx(2.5 * before["slope"]["value"], rel=1e-4)
    assert found["ece"]["value"] < found["uncalibrated"]["ece"]["low"]
    assert found["brier"]["value"] < found["uncalibrated"]["brier"]["value"]


def test_the_most_probable_class_has_its_own_error():
    images, _, found, _ = _found(Task.MULTICLASS, 300)
    right = (images.scores.argmax(axis=1) == images.labels.argmax(axis=1)).astype(float)
    observed, predicted = calibration_curve(right, images.scores.max(axis=1), n_bins=15, strategy="quantile")
    assert found["top_class"]["ece"]["value"] == pytest.approx(np.abs(observed - predicted).mean(), abs=1e-6)


def test_no_value_where_there_is_no_answer():
    odds, patients = np.array([-1.0, 0.5, 2.0, 3.0]), np.arange(4)
    none = {"value": None, "low": None, "high": None}
    assert set(map(str, recalibration(np.zeros(4), odds, patients).values())) == {str(none)}
    separated = recalibration(np.array([0.0, 0, 1, 1]), odds, patients)
    assert (separated["slope"], separated["intercept"]) == (none, none)
    assert separated["in_the_large"]["value"] is not None
    assert recalibration(np.array([0.0, 1, 0, 1]), np.full(4, 0.3), patients)["slope"] == none
    of_one = recalibration(np.array([0.0, 1, 0, 1]), odds, np.zeros(4, dtype=int))["slope"]
    assert of_one["value"] is not None
    assert of_one["low"] is None


def test_a_label_nobody_knows_has_no_calibration_and_stops_nothing():
    images, logits, patients = made(Task.MULTILABEL, 60)
    images.labels[:, 1] = np.nan
    drawn = bootstrap.resample(patients, 50, 1)
    found, diagram = calibration.judge(images, logits, 1.0, drawn), calibration.diagram(images, logits, 1, drawn.member)
    effusion = found["per_class"]["effusion"]
    assert effusion.pop("ece_by_chance") is None
    assert all(entry["value"] is None for entry in effusion.values())
    assert found["per_class"]["pneumonia"]["ece"]["value"] is not None
    assert found["ece"]["value"] is None, "a mean over fewer labels would be another number"
    assert set(diagram["class"]) == {"pneumonia"}


@given(seed=st.integers(0, 10**6), widths=st.lists(st.integers(0, 150), max_size=8))
def test_sums_of_many_questions_at_once_are_the_sums_of_each(seed, widths):
    random = np.random.default_rng(seed)
    drawn = bootstrap.resample([str(n) for n in random.integers(0, 9, 20)], 3, seed)
    blocks = []
    for width in widths:
        rows = np.flatnonzero(random.random(20) < 0.7)
        blocks.append((rows, random.random((len(rows), width))))
    found = list(bundle.sums(drawn, blocks))
    assert len(found) == len(blocks)
    for sums, (rows, values) in zip(found, blocks, strict=True):
        np.testing.assert_allclose(sums, drawn.part(rows).sums(values))


def test_equal_scores_share_a_bin():
    assert set(calibration.bins(np.full(300, 0.4))) == {0}
    scores = np.repeat([0.1, 0.5, 0.9], 100)
    member = calibration.bins(scores)
    assert [len(set(member[scores == value])) for value in (0.1, 0.5, 0.9)] == [1, 1, 1]
    assert set(member) == {0, 1, 2}
    assert len(set(calibration.bins(np.linspace(0, 1, 45)))) == 2, "as many as there are 20 images for"


def test_intervals_of_shares_are_statsmodels():
    share, count = np.array([0.0, 0.1, 0.5, 1.0]), np.array([4, 30, 7, 100])
    low, high = shares.wilson(share, count)
    expected = proportion_confint(share * count, count, method="wilson")
    np.testing.assert_allclose([low, high], expected, atol=1e-12)
    for value in (0.0, 1.0):
        exact = proportion_confint(value * 10, 10, method="beta")
        found = shares.interval(np.full(20, value), 10)
        assert (found["low"], found["high"]) == pytest.approx(exact, abs=1e-6)


def test_a_perfect_model_shows_what_chance_gives_and_its_interval_begins_at_0():
    images, logits, patients = made(Task.BINARY, 400, seed=7)
    random, chances = np.random.default_rng(0), images.scores[:, 1]
    values = []
    for _ in range(200):
        truth = (random.random(400) < chances).astype(float)
        member = calibration.bins(chances)
        values.append(np.abs(np.bincount(member, weights=truth - chances)).sum() / 400)
    found = calibration.judge(images, logits, 1.0, bootstrap.resample(patients, 200, 1))
    assert found["ece_by_chance"] == pytest.approx(np.mean(values), rel=0.15)
    assert found["ece"]["low"] == 0


def _held(overconfidence: float, runs: int, count: int) -> float:
    """How often the interval of ECE holds what it is of all images that there could be, over the same bins."""
    _, logits, _ = made(Task.BINARY, 100_000, seed=99, overconfidence=overconfidence)
    margin = log_odds(logits, Task.BINARY)[:, 1]
    chances, scores = expit(margin / overconfidence), expit(margin)
    random = np.random.default_rng(0)
    drawn = bootstrap.resample([str(n) for n in range(count)], 200, 1)
    held = 0
    for _ in range(runs):
        rows = random.integers(0, len(scores), count)
        truth = (random.random(count) < chances[rows]).astype(float)
        edges = np.quantile(scores[rows], np.linspace(0, 1, min(calibration.MOST_BINS, count // 20) + 1)[1:-1])
        member = np.searchsorted(edges, scores)
        real = np.abs(np.bincount(member, weights=scores - chances)).sum() / len(scores)
        said = calibration._said(truth, scores[rows])
        entry = calibration._intervals(calibration._distances(drawn.sums(said.distances())))["ece"]
        held += entry["low"] <= real <= entry["high"]
    return held / runs


@pytest.mark.parametrize("overconfidence", [1, 1.2, 3])
def test_the_interval_of_ece_holds_the_true_error(overconfidence):
    """A percentile interval does so in 0 of 100 runs of the first two."""
    assert _held(overconfidence, 100, 400) >= 0.88
