"""DeLong's variance, McNemar's and Holm's tests against published formulas, statsmodels and simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from stages.artifacts.cohort import Task
from stages.judging import bootstrap, influence, judge, metrics, paired, ranking, resampled, scores
from stages.judging.metrics import Judged

CLASSES = ("normal", "sick")
CUTS = {"sick": 0.5}


def _two(seed: int, patients: int = 120, of_each: int = 1, gap: float = 0.3) -> tuple[Judged, Judged, list[str]]:
    """Two models on the same images, the first better by ``gap``; images of a patient are alike."""
    random = np.random.default_rng(seed)
    truth = np.r_[0, 1, 0, 1, random.integers(0, 2, patients - 4)].astype(float).repeat(of_each)
    shared = random.normal(size=patients).repeat(of_each)
    made = []
    for skill in (1.0 + gap, 1.0):
        score = stats.norm.cdf(0.7 * skill * (2 * truth - 1) + shared + 0.7 * random.normal(size=len(truth)))
        made.append(Judged(Task.BINARY, CLASSES, np.c_[1 - truth, truth], np.c_[1 - score, score]))
    return *made, [f"p{n}" for n in np.arange(patients).repeat(of_each)]


def _delong_by_the_book(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUROCs (M) and covariance (M, M) of M models: equations 4 to 7 of DeLong et al. 1988, pair by pair."""
    positive, negative = scores[:, truth == 1], scores[:, truth == 0]
    wins = (positive[:, :, None] > negative[:, None, :]) + 0.5 * (positive[:, :, None] == negative[:, None, :])
    v10, v01 = wins.mean(axis=2), wins.mean(axis=1)
    return wins.mean(axis=(1, 2)), np.cov(v10) / v10.shape[1] + np.cov(v01) / v01.shape[1]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), ties=st.booleans())
def test_delong_is_delongs(seed: int, ties: bool) -> None:
    first, second, patients = _two(seed, 60)
    if ties:
        first, second = (Judged(s.task, s.classes, s.labels, s.scores.round(1)) for s in (first, second))
    drawn = bootstrap.resample(patients, 1, 0)
    values, covariance = _delong_by_the_book(first.labels[:, 1], np.array([s.scores[:, 1] for s in (first, second)]))
    for at, side in enumerate((first, second)):
        area = judge.areas(side, drawn)["sick"]
        assert area.value == pytest.approx(values[at])
        assert area.error**2 == pytest.approx(covariance[at, at])
    found = paired.delong(first, second, drawn)
    error = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    z = (values[0] - values[1]) / error if error else 0.0
    assert found["p"] == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-6)
    assert found["difference"]["value"] == pytest.approx(values[0] - values[1], abs=1e-6)


def test_of_several_images_a_patient_the_variance_is_obuchowskis() -> None:
    """Equation of Obuchowski 1997: sums of the components of a patient, within and between the two classes."""
    random = np.random.default_rng(8)
    truth = random.integers(0, 2, 90).astype(float)
    member = np.arange(30).repeat(3)
    scores = stats.norm.cdf(truth + random.normal(size=30).repeat(3) + random.normal(size=90))
    found = influence.auroc(truth, scores, member, 30)
    positive, negative = scores[truth == 1], scores[truth == 0]
    wins = (positive[:, None] > negative[None]) + 0.5 * (positive[:, None] == negative[None])
    area, m, n = wins.mean(), len(positive), len(negative)
    ten = np.bincount(member[truth == 1], wins.mean(axis=1) - area, 30)
    one = np.bincount(member[truth == 0], wins.mean(axis=0) - area, 30)
    tens, ones = len(set(member[truth == 1])), len(set(member[truth == 0]))
    expected = tens / (tens - 1) * (ten**2).sum() / m**2 + ones / (ones - 1) * (one**2).sum() / n**2
    expected += 2 * np.sqrt(tens / (tens - 1) * ones / (ones - 1)) * (ten * one).sum() / (m * n)
    assert found.error**2 == pytest.approx(expected)


@pytest.mark.parametrize("of_each", [1, 4])
def test_the_bootstrap_and_delong_agree_on_the_interval_of_a_difference(of_each: int) -> None:
    first, second, patients = _two(3, 300, of_each)
    drawn = bootstrap.resample(patients, 2000, 1)
    by_delong = paired.delong(first, second, drawn)["difference"]
    by_bootstrap = paired.differences(*(metrics.whole(side, CUTS, drawn) for side in (first, second)))["auroc"]
    width = by_delong["high"] - by_delong["low"]
    for end in ("low", "high"):
        assert by_bootstrap[end] == pytest.approx(by_delong[end], abs=0.15 * width)
    assert by_bootstrap["value"] == by_delong["value"]


@pytest.mark.parametrize(("patients", "of_each"), [(150, 1), (80, 3)])
def test_intervals_hold_the_truth_as_often_as_they_say(patients: int, of_each: int) -> None:
    """Of 300 studies, 95 % intervals miss the truth in 15, give or take what chance allows."""
    random = np.random.default_rng(0)
    studies, truth_of = 300, stats.norm.cdf(1.0)
    missed = {"bootstrap": 0, "delong": 0}
    for study in range(studies):
        # AUROC is P(X1 > X0) of independent patients: normal with unit variances and a shift of sqrt(2)
        labels = np.r_[0, 1, 0, 1, random.integers(0, 2, patients - 4)].astype(float).repeat(of_each)
        mean = np.sqrt(2) * labels + random.normal(size=patients).repeat(of_each) * np.sqrt(0.7)
        said = mean + random.normal(size=len(labels)) * np.sqrt(0.3)
        judged = Judged(Task.BINARY, CLASSES, np.c_[1 - labels, labels], np.c_[-said, said])
        drawn = bootstrap.resample([str(n) for n in np.arange(patients).repeat(of_each)], 400, study)
        area, _ = resampled.areas(ranking.rank(labels, said), drawn)
        people = [len(np.unique(drawn.member[labels == side])) for side in (1, 0)]
        delong = scores.of_area(judge.areas(judged, drawn)["sick"], *people)
        found = {"bootstrap": bootstrap.interval(area), "delong": bootstrap.entry(*delong[:3])}
        for name, entry in found.items():
            missed[name] += not entry["low"] <= truth_of <= entry["high"]
    for name, count in missed.items():
        assert 5 <= count <= 33, (name, count)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_mcnemar_is_statsmodels(seed: int) -> None:
    first, second, patients = _two(seed)
    found = paired.mcnemar(first, second, (CUTS, CUTS), bootstrap.resample(patients, 1, 0))
    right = [(s.scores[:, 1] >= 0.5) == (s.labels[:, 1] == 1) for s in (first, second)]
    table = [[(right[0] & right[1]).sum(), (right[0] & ~right[1]).sum()], [(~right[0] & right[1]).sum(), 0]]
    assert (found["only_first"], found["only_second"]) == (table[0][1], table[1][0])
    if found["p"] is not None:
        few = found["only_first"] + found["only_second"] < 25
        assert found["p"] == pytest.approx(mcnemar(table, exact=few, correction=False).pvalue)


def test_mcnemar_is_not_fooled_by_copies_of_images() -> None:
    once = _two(5, 60)
    four = [Judged(s.task, s.classes, s.labels.repeat(4, 0), s.scores.repeat(4, 0)) for s in once[:2]]
    cuts = (CUTS, CUTS)
    alone = paired.mcnemar(once[0], once[1], cuts, bootstrap.resample(once[2], 1, 0))
    copied = paired.mcnemar(*four, cuts, bootstrap.resample(list(np.repeat(once[2], 4)), 1, 0))
    # with four copies of each, p is of the statistic and not exact: it is that of McNemar on the patients
    table = [[0, alone["only_first"]], [alone["only_second"], 0]]
    assert copied["p"] == pytest.approx(mcnemar(table, exact=False, correction=False).pvalue)
    assert copied["only_first"] == 4 * alone["only_first"]


def test_the_same_model_is_no_different() -> None:
    first, _, patients = _two(1)
    drawn = bootstrap.resample(patients, 50, 0)
    assert paired.delong(first, first, drawn) == {"difference": {"value": 0.0, "low": 0.0, "high": 0.0}, "p": 1.0}
    assert paired.mcnemar(first, first, (CUTS, CUTS), drawn) == {"only_first": 0, "only_second": 0, "p": None}


@settings(max_examples=30, deadline=None)
@given(p_values=st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_statsmodels(p_values: list[float]) -> None:
    expected = multipletests(p_values, method="holm")[1]
    assert paired.holm(p_values) == pytest.approx(list(expected))
    with_none = paired.holm([None, *p_values])
    assert with_none[0] is None
    assert with_none[1:] == pytest.approx(list(expected))


def test_chance_alone_gives_small_p_values_rarely() -> None:
    """Two models of equal skill: DeLong's p is below 0.05 in about one study of twenty."""
    small = 0
    for seed in range(300):
        first, second, patients = _two(seed, 100, gap=0.0)
        found = paired.delong(first, second, bootstrap.resample(patients, 1, 0))
        small += found["p"] < 0.05
    assert 4 <= small <= 32


@pytest.mark.parametrize(("positive", "negative", "area"), [(15, 60, 0.97), (30, 30, 0.99), (30, 100, 0.97)])
def test_an_interval_near_one_holds_the_truth_as_often_as_it_says(positive: int, negative: int, area: float) -> None:
    """There the normal distribution, and percentiles, hold it in 75 to 90 of a hundred studies."""
    random = np.random.default_rng(4)
    labels = np.r_[np.ones(positive), np.zeros(negative)]
    shift = np.sqrt(2) * stats.norm.ppf(area)
    held = 0
    for _ in range(400):
        found = influence.auroc(labels, random.normal(shift * labels), np.arange(len(labels)), len(labels))
        interval = scores.of_area(found, positive, negative)
        held += interval.low <= area <= interval.high
    assert held >= 372, "93 % and more"


def test_a_difference_that_no_patient_speaks_against_has_no_p_value() -> None:
    truth = np.tile([0.0, 1.0], 10)
    perfect, constant = truth, np.full(20, 0.5)
    sides = [Judged(Task.BINARY, CLASSES, np.c_[1 - truth, truth], np.c_[1 - s, s]) for s in (perfect, constant)]
    found = paired.delong(*sides, bootstrap.resample([str(n) for n in range(20)], 50, 0))
    assert found["difference"]["value"] == 0.5
    assert found["p"] is None
