"""Intervals of shares and areas, and of their differences, against statsmodels and by simulation."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from stages.judging import influence, scores
from stages.judging.influence import Influence


def share(hits: int, count: int, first: int = 0, people: int = 0) -> scores.Score:
    """Of one image a patient; the influence as of independent trials."""
    value, added = hits / count, np.zeros(people or count)
    added[first : first + count] = (np.arange(count) < hits) - hits / count
    added /= np.sqrt(count * count)
    return scores.score(Influence(value, added), count)


@pytest.mark.parametrize(("hits", "count"), [(8, 20), (19, 20), (20, 20), (0, 30), (97, 100)])
def test_of_independent_images_it_is_wilsons(hits: int, count: int) -> None:
    low, high = proportion_confint(hits, count, method="wilson")
    found = share(hits, count)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)


@pytest.mark.parametrize(
    ("one", "other"), [((56, 70), (48, 80)), ((9, 10), (3, 10)), ((10, 10), (0, 20)), ((20, 20), (18, 20))]
)
def test_a_difference_of_other_patients_is_newcombes(one: tuple[int, int], other: tuple[int, int]) -> None:
    people = one[1] + other[1]
    found = scores.gap(share(*one, people=people), share(*other, first=one[1], people=people))
    low, high = confint_proportions_2indep(*one, *other, method="newcomb")
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)
    assert (found.p < 0.05) == (low > 0 or high < 0)


def test_newcombes_first_example_is_as_printed() -> None:
    """56/70 - 48/80: 0.2000, interval 0.0524 to 0.3339 (Newcombe 1998, table II, method 10)."""
    found = scores.gap(share(56, 70, people=150), share(48, 80, first=70, people=150))
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)


def test_the_same_patients_on_both_sides_narrow_the_gap_and_no_gap_is_no_doubt() -> None:
    one, other = share(15, 20), share(15, 20)
    same = scores.gap(one, other)
    assert (same.value, same.p) == (0, 1)
    apart = scores.gap(share(15, 20, people=40), share(15, 20, first=20, people=40))
    assert same.high - same.low < (apart.high - apart.low) / 2


def test_without_a_value_there_is_no_interval() -> None:
    found = scores.score(Influence(float("nan"), np.full(3, np.nan)), 9)
    assert np.isnan([found.value, found.low, found.high]).all()


@pytest.mark.parametrize("area", [0.7, 0.9, 0.98])
@pytest.mark.parametrize(("positive", "negative"), [(20, 20), (20, 200)])
def test_the_interval_of_an_area_covers_it_even_of_few_and_near_one(area: float, positive: int, negative: int) -> None:
    """Of normal scores whose true AUROC is known; by the normal distribution 20 against 20 cover 0.98 in 7 of 10."""
    random, apart = np.random.default_rng(1), np.sqrt(2) * stats.norm.ppf(area)
    labels, count, runs = np.repeat([1.0, 0.0], [positive, negative]), positive + negative, 400
    covered = 0
    for _ in range(runs):
        found = influence.auroc(labels, random.normal(size=count) + apart * labels, np.arange(count), count)
        interval = scores.score(found, 4 * positive * negative / count)
        covered += interval.low <= area <= interval.high
    assert covered / runs > 0.92  # three standard errors below 0.95
