import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from stages import inference, params
from stages.artifacts.cohort import Task
from stages.finetune import plans, training
from stages.finetune.feed import Examples, Feed
from stages.finetune.params import Recipe
from stages.learning import devices
from stages.learning.scores import auroc
from stages.networks import Classifier
from stages.runtime import UserError

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _threads():
    usual = torch.get_num_threads()
    yield
    torch.set_num_threads(usual)


def _recipe(**values):
    usual = {"strategy": "full", "weights": "w", "epochs": 6, "lr": 0.2, "batch_size": 16, "augment": "none"}
    return params.validate({**usual, **values}, Recipe, "recipes.test")


def _network(classes=3):
    torch.manual_seed(0)
    backbone = nn.Sequential(
        nn.Conv2d(1, 8, 5, stride=2),
        nn.BatchNorm2d(8, momentum=0.01),
        nn.ReLU(),
        nn.Conv2d(8, 16, 5, stride=2),
        nn.BatchNorm2d(16, momentum=0.01),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.1),
    )
    return Classifier(backbone, 16, classes)


def _sides(stripes, classes=3):
    return Examples(*stripes(81, classes)), Examples(*stripes(45, classes, seed=1))


def _fit(network, sides, task=Task.MULTICLASS, recipe=None, seed=5, **more):
    recipe = recipe or _recipe()
    plan = plans.plan(recipe, network, "a small network")
    fabric = devices.fabric(CPU, devices.precision(recipe.precision, CPU))
    return training.fit(network, *sides, task, recipe, plan, seed=seed, fabric=fabric, **more)


def _state(network):
    return {key: value.clone() for key, value in network.state_dict().items()}


def test_it_learns_and_keeps_the_best_epoch(stripes):
    sides, network, seen = _sides(stripes), _network(), []
    course = _fit(network, sides, on_epoch=seen.append)
    assert course.history == seen
    assert [epoch["epoch"] for epoch in seen] == [1, 2, 3, 4, 5, 6]
    assert course.images_seen == 6 * 81
    assert seen[-1]["train_loss"] < seen[0]["train_loss"] / 2
    best = seen[course.best_epoch - 1]
    assert best["val_auroc"] == max(epoch["val_auroc"] for epoch in seen) > 0.95
    found = inference.logits(network, sides[1].images, CPU)
    assert auroc(sides[1].labels, found, Task.MULTICLASS) == pytest.approx(best["val_auroc"], abs=0.02)
    loss = nn.functional.cross_entropy(torch.tensor(found), torch.tensor(sides[1].labels).argmax(dim=1))
    assert loss.item() == pytest.approx(best["val_loss"], rel=1e-5)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(stripes):
    states = []
    for seed in (5, 5, 6):
        network = _network()
        _fit(network, _sides(stripes), recipe=_recipe(epochs=2, augment="radiograph"), seed=seed)
        states.append(_state(network))
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not torch.equal(states[0]["head.weight"], states[2]["head.weight"])


def test_an_image_has_the_same_chance_on_however_many_devices(stripes):
    train, target = Examples(*stripes(37)), stripes(20, seed=2)[0]
    made = {}
    for world in (1, 2):
        parts = []
        for rank in range(world):
            device = SimpleNamespace(world_size=world, global_rank=rank, device=CPU)
            parts.append([*Feed(train, target, _recipe(mixup=0.2), device).epoch(5, 1)])
        made[world] = [
            (
                torch.cat([part.pixels for part in step]),
                torch.cat([part.chances[: len(part.pixels)] for part in step]),
                torch.cat([part.chances[len(part.pixels) :] for part in step]),
                torch.tensor(step[0].share),
            )
            for step in zip(*parts, strict=True)
        ]
    for alone, shared in zip(made[1], made[2], strict=True):
        assert all(torch.equal(one, other) for one, other in zip(alone, shared, strict=True))


def test_two_classes(stripes):
    course = _fit(_network(2), _sides(stripes, 2), Task.BINARY, _recipe(class_weights=True, label_smoothing=0.1))
    assert max(epoch["val_auroc"] for epoch in course.history) > 0.95


def test_several_labels_some_of_them_unknown(stripes):
    train, val = _sides(stripes)
    labels = train.labels.copy()
    labels[::4, 1] = np.nan
    sides = (Examples(train.images, labels), val)
    course = _fit(_network(), sides, Task.MULTILABEL, _recipe(class_weights=True, epochs=8))
    assert max(epoch["val_auroc"] for epoch in course.history) > 0.9


def test_it_stops_when_nothing_gets_better(stripes):
    course = _fit(_network(), _sides(stripes), recipe=_recipe(epochs=40, lr=1e-12, warmup_epochs=0, patience=2))
    assert len(course.history) < 40
    assert len(course.history) == course.best_epoch + 2


def test_a_loss_that_is_no_number_is_told(stripes):
    with pytest.raises(UserError, match="no longer a number in epoch 1: lower this recipe's lr"):
        _fit(_network(), _sides(stripes), recipe=_recipe(lr=1e30, warmup_epochs=0))


def test_labels_that_cannot_be_judged_are_refused_before_any_work(stripes):
    train, val = _sides(stripes)
    network = _network()
    before = _state(network)
    alike = np.zeros_like(val.labels)
    alike[:, 0] = 1
    with pytest.raises(UserError, match="no class can be judged"):
        _fit(network, (train, Examples(val.images, alike)))
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_statistics_of_batch_norm_keep_up_with_short_epochs(stripes):
    network = _network()
    _fit(network, _sides(stripes), recipe=_recipe(epochs=3))
    assert {module.momentum for module in network.modules() if isinstance(module, nn.BatchNorm2d)} == {0.1}


def test_progress_is_told_every_epoch(stripes, caplog):
    with caplog.at_level(logging.INFO, logger="radrepro"):
        _fit(_network(), _sides(stripes), recipe=_recipe(epochs=2))
    lines = [record.message for record in caplog.records if record.message.startswith("epoch")]
    assert len(lines) == 2
    for word in ("epoch 1 of 2", "loss", "val AUROC", "images/s", "s left"):
        assert word in lines[0]
