import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages import params
from stages.finetune.params import Recipe
from stages.learning.optimisation import factor, optimiser, plateau, schedule, warm_up
from stages.runtime import UserError

FULL = {"strategy": "full", "weights": "starter", "epochs": 4, "lr": 0.1}


def _recipe(**values):
    return params.validate({**FULL, **values}, Recipe, "recipes.test")


@given(st.integers(0, 50), st.integers(1, 200))
def test_the_rate_rises_to_all_of_lr_then_falls_towards_none(warmup, after):
    steps = warmup + after
    rates = [factor(step, warmup, steps) for step in range(steps)]
    assert max(rates) == pytest.approx(1)
    assert rates[:warmup] == sorted(rates[:warmup])
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)
    assert min(rates) > 0
    assert factor(steps, warmup, steps) == pytest.approx(0, abs=1e-12)


def test_the_optimiser_follows_the_schedule():
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = optimiser([weight], _recipe(momentum=0.0, weight_decay=0.0))
    scheduler = schedule(optimizer, 2, 4)
    moved = []
    for _ in range(4):
        weight.grad = torch.ones(1)
        before = weight.item()
        optimizer.step()
        scheduler.step()
        moved.append(before - weight.item())
    assert moved == pytest.approx([0.05, 0.1, 0.1, 0.05], abs=1e-6)


def test_the_optimiser_is_the_one_asked_for():
    weight = [torch.nn.Parameter(torch.ones(1))]
    sgd = optimiser(weight, _recipe(nesterov=True, weight_decay=0.5))
    assert (type(sgd), sgd.defaults["momentum"], sgd.defaults["nesterov"]) == (torch.optim.SGD, 0.9, True)
    adamw = optimiser(weight, _recipe(optimizer="adamw", weight_decay=0.5))
    assert (type(adamw), adamw.defaults["weight_decay"]) == (torch.optim.AdamW, 0.5)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"lr": 0}, "lr: Input should be greater than 0"),
        ({"lrr": 0.1}, "lrr: no such parameter"),
        ({"epochs": 2, "warmup_epochs": 3}, r"warmup_epochs \(3\) must not be more than epochs \(2\)"),
        ({"nesterov": True, "optimizer": "adamw"}, "nesterov needs optimizer sgd"),
        ({"strategy": "ful"}, "'strategy' is one of 'linear_probe', 'full', "),
        ({"batch_size": 1}, "batch_size: Input should be greater than or equal to 2"),
    ],
)
def test_a_faulty_recipe_is_told(values, said):
    with pytest.raises(UserError, match=said):
        _recipe(**values)


def test_without_a_cosine_the_rate_rises_and_stays():
    assert [warm_up(step, 4) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    assert warm_up(0, 0) == 1


def test_a_plateau_lowers_the_rate_each_time_it_lasts():
    scores = [0.5, 0.6, 0.6, 0.6, 0.55, 0.5, 0.7, 0.7]
    assert [plateau(scores[:n], 0.1, 2) for n in range(9)] == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01, 0.01])
