"""The temperature is the one that other implementations find; it makes probabilities true, and moves no decision."""

import numpy as np
import pytest
import statsmodels.api as sm
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss

from stages.artifacts.cohort import Task
from stages.learning import temperature
from stages.learning.objective import objective
from stages.networks import probabilities

NAN = float("nan")


def _drawn(seed: int, task: Task, count: int, sharpness: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose true temperature is ``sharpness``, and labels drawn by it."""
    random = np.random.default_rng(seed)
    columns = 2 if task is Task.BINARY else 3
    logits = random.normal(0, 1.5, (count, columns))
    chances = probabilities(torch.from_numpy(logits), task).numpy()
    if task is Task.MULTILABEL:
        labels = (random.random(logits.shape) < chances).astype(float)
        labels[random.random(labels.shape) < 0.3] = NAN
    else:
        drawn = (random.random((count, 1)) > chances.cumsum(axis=1)).sum(axis=1)
        labels = np.eye(columns)[np.minimum(drawn, columns - 1)]
    return (logits * sharpness).astype(np.float32), labels.astype(np.float32)


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("sharpness", [0.5, 1, 3])
def test_the_temperature_that_was_there_is_found(task, sharpness):
    found = temperature.fit(*_drawn(1, task, 20_000, sharpness), task)
    assert found["temperature"] == pytest.approx(sharpness, rel=0.04)
    assert found["outcome"] == "fitted"


@pytest.mark.parametrize("task", list(Task))
@given(seed=st.integers(0, 10**6), sharpness=st.floats(0.3, 4))
def test_it_is_the_least_of_the_loss_that_training_minimises(task, seed, sharpness):
    logits, labels = (torch.from_numpy(values).double() for values in _drawn(seed, task, 60, sharpness))
    loss = objective(task)
    found = temperature.fit(logits.numpy(), labels.numpy(), task)
    assume(found["outcome"] == "fitted")
    best = minimize_scalar(
        lambda scale: float(loss(logits * scale, labels)),
        bounds=(1 / temperature.HOTTEST, 1 / temperature.COLDEST),
        method="bounded",
        options={"xatol": 1e-10},
    )
    assert 1 / found["temperature"] == pytest.approx(best.x, rel=1e-3)
    assert found["val_nll"] == pytest.approx(best.fun, abs=2e-6)
    assert found["val_nll_uncalibrated"] == pytest.approx(float(loss(logits, labels)), abs=2e-6)


def test_of_two_classes_it_is_logistic_regression_without_an_intercept():
    logits, labels = _drawn(3, Task.BINARY, 300, 2)
    margin = (logits[:, 1] - logits[:, 0]).astype(np.float64)
    slope = sm.Logit(labels[:, 1], margin).fit(disp=0).params[0]
    assert 1 / temperature.fit(logits, labels, Task.BINARY)["temperature"] == pytest.approx(slope, rel=1e-5)


@pytest.mark.parametrize("task", list(Task))
def test_the_loss_that_is_told_is_scikit_learns(task):
    logits, labels = _drawn(4, task, 200, 2)
    found = temperature.fit(logits, labels, task)
    scores = probabilities(torch.from_numpy(logits).double(), task, found["temperature"]).numpy()
    known = ~np.isnan(labels)
    truth, given = (labels[known], scores[known]) if task is Task.MULTILABEL else (labels.argmax(axis=1), scores)
    assert found["val_nll"] == pytest.approx(log_loss(truth, given), abs=2e-6)


def test_where_val_has_no_say_the_network_keeps_its_own_confidence():
    labels = np.eye(2)[[0, 1, 1]]
    right = temperature.fit(np.array([[3.0, 0.0], [0.0, 0.1], [0.0, 2.0]]), labels, Task.BINARY)
    assert (right["temperature"], right["outcome"]) == (1, "undetermined")
    of_one_class = temperature.fit(np.array([[3.0, 0.0], [0.5, 0.1]]), labels[[0, 0]], Task.BINARY)
    assert (of_one_class["temperature"], of_one_class["outcome"]) == (1, "undetermined")
    labels = np.array([[1, NAN], [0, NAN]])
    separated = temperature.fit(np.array([[0.2, 1.0], [-9.0, 1.0]]), labels, Task.MULTILABEL)
    assert (separated["temperature"], separated["outcome"]) == (1, "undetermined")
    same = temperature.fit(np.ones((4, 3)), np.eye(3)[[0, 1, 2, 0]], Task.MULTICLASS)
    assert (same["temperature"], same["outcome"]) == (1, "undetermined")


def test_a_network_that_knows_nothing_or_says_nothing_is_kept_within_limits():
    logits, labels = _drawn(5, Task.BINARY, 400, 5)
    wrong = temperature.fit(logits, labels[:, ::-1], Task.BINARY)
    assert (wrong["temperature"], wrong["outcome"]) == (temperature.HOTTEST, "limited")
    assert wrong["val_nll"] < wrong["val_nll_uncalibrated"]
    faint = temperature.fit(logits / 1000, labels, Task.BINARY)
    assert (faint["temperature"], faint["outcome"]) == (temperature.COLDEST, "limited")
    assert faint["val_nll"] < faint["val_nll_uncalibrated"]


@given(
    rows=st.lists(st.tuples(*[st.floats(-30, 30, width=32)] * 3), min_size=2, max_size=20),
    value=st.floats(temperature.COLDEST, temperature.HOTTEST),
)
def test_the_most_probable_class_of_an_image_stays(rows, value):
    logits = torch.tensor(rows, dtype=torch.float64)
    before, after = probabilities(logits, "multiclass"), probabilities(logits, "multiclass", value)
    top = logits.max(dim=1, keepdim=True).values == logits
    assert (after[top] == after.max(dim=1, keepdim=True).values.expand_as(after)[top]).all()
    assert (before[top] == before.max(dim=1, keepdim=True).values.expand_as(before)[top]).all()


@given(
    scores=st.lists(st.floats(-15, 15, width=16), min_size=2, max_size=40, unique=True),
    value=st.floats(0.5, temperature.HOTTEST),
)
def test_the_order_of_images_by_a_label_or_by_one_of_two_classes_stays(scores, value):
    logits = torch.tensor(sorted(scores), dtype=torch.float64)
    several = probabilities(logits[:, None], "multilabel", value)[:, 0]
    of_two = probabilities(torch.stack([torch.zeros_like(logits), logits], dim=1), "binary", value)[:, 1]
    for rising in (several, of_two):
        assert (rising.diff() > 0).all(), "and no two become one"


def test_the_order_of_images_by_one_of_three_classes_can_change():
    """What the others share the rest by counts less when it is hot: so the documentation says."""
    logits = torch.tensor([[1.0, 0.9, -9.0], [1.0, 0.3, 0.3]], dtype=torch.float64)
    before, after = (probabilities(logits, "multiclass", value)[:, 0] for value in (1.0, 0.2))
    assert (before[0] > before[1]) != (after[0] > after[1])


@given(seed=st.integers(0, 10**6))
def test_the_same_images_in_another_order_give_the_same_temperature(seed):
    logits, labels = _drawn(seed, Task.MULTILABEL, 50, 2)
    order = np.random.default_rng(seed).permutation(50)
    assert temperature.fit(logits, labels, Task.MULTILABEL) == temperature.fit(
        logits[order], labels[order], Task.MULTILABEL
    )
