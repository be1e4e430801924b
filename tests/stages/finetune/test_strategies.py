"""Every strategy on one network of every kind: what moves, that it learns, that it comes back from disk."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from stages import blocks, inference, networks, params
from stages.artifacts.cohort import Task
from stages.finetune import adaptation, plans
from stages.finetune.feed import Examples
from stages.finetune.params import Recipe
from stages.finetune.strategies import Problem, run
from stages.networks import Classifier, Header
from stages.runtime import UserError

CPU = torch.device("cpu")
CLASSES = ("fine", "finer", "finest")
TARGET = {"target": {"column": "batch", "value": "b"}}

# strategy -> settings, and which blocks move: their numbers from 0, of how many there are
ALL = range  # of how many there are
STRATEGIES = {
    "linear_probe": ({"c": [0.1]}, lambda _: []),
    "head": ({}, lambda _: []),
    "head_hidden": ({"strategy": "head", "hidden": [24]}, lambda _: []),
    "last": ({"blocks": 2}, lambda count: range(count - 2, count)),
    "first": ({"blocks": 2}, lambda _: range(2)),
    "norm": ({}, None),
    "full": ({}, ALL),
    "scratch": ({}, ALL),
    "linear_probe_then_full": ({"c": [0.001]}, ALL),
    "gradual_last": ({"strategy": "gradual", "start": "last", "epochs_per_block": 0.1}, ALL),
    "gradual_first": ({"strategy": "gradual", "start": "first", "epochs_per_block": 0.1}, ALL),
    "layer_decay": ({"decay": 0.8}, ALL),
    "l2_sp": ({"alpha": 0.01}, ALL),
    "l1_sp": ({"alpha": 0.0001}, ALL),
    "auto_rgn": ({}, ALL),
    "truncated": ({"blocks": 3}, None),
    "adabn": (TARGET, ALL),
    "coral": ({**TARGET, "alpha": 100.0}, ALL),
    "dann": (TARGET, ALL),
}
LARGE = [pytest.param(name, marks=pytest.mark.long) for name in ("densenet121", "resnet18", "vgg11", "vit_b_16")]
ARCHITECTURES = ("mobilenet_v3_small", *LARGE)
WITHOUT_NORMS, WITHOUT_BATCH_NORM = {"vgg11"}, {"vgg11", "vit_b_16"}


@pytest.fixture(autouse=True)
def _threads():
    usual = torch.get_num_threads()
    yield
    torch.set_num_threads(usual)


def _recipe(name, architecture, **more):
    settings = {"strategy": name, "weights": "w", **STRATEGIES[name][0]}
    if name != "linear_probe":
        gentle = {"optimizer": "adamw", "lr": {"vgg11": 0.0001, "vit_b_16": 0.0003}.get(architecture, 0.002)}
        settings = {"epochs": 3, "batch_size": 16, "augment": "none", "warmup_epochs": 0, **gentle, **settings}
    return params.validate({**settings, **more}, Recipe, "recipes.test")


@pytest.fixture(scope="module")
def backbones():
    made = {}

    def build(architecture):
        if architecture not in made:
            torch.manual_seed(0)
            made[architecture] = networks.build_backbone(architecture, 32)
        backbone, features = made[architecture]
        return copy.deepcopy(backbone), features

    return build


@pytest.fixture(scope="module")
def problem(backbones, stripes):
    def make(architecture, train=48):
        backbone, features = backbones(architecture)
        sides = (Examples(*stripes(train)), Examples(*stripes(30, seed=1)))
        target = stripes(20, seed=2)[0]
        return Problem(Task.MULTICLASS, CLASSES, *sides, backbone, features, architecture, 32, target)

    return make


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", STRATEGIES)
def test_what_moves_is_what_is_named_it_learns_and_it_comes_back(name, architecture, problem, tmp_path):
    given = problem(architecture)
    recipe = _recipe(name, architecture)
    if (name == "norm" and architecture in WITHOUT_NORMS) or (name == "adabn" and architecture in WITHOUT_BATCH_NORM):
        with pytest.raises(UserError, match=f"{architecture} has n"):
            run(recipe, given, 1, CPU)
        return
    before = {key: value.clone() for key, value in given.backbone.state_dict().items()}
    row = blocks.split(given.backbone)
    named = [[*block.parameters(given.backbone)] for block in row]
    result = run(recipe, given, 1, CPU)

    moving = _moving(name, given, named)
    parameters = dict(result.classifier.named_parameters())
    new = sum(value.numel() for key, value in parameters.items() if key.startswith("head."))
    count = sum(parameters[f"backbone.{key}"].numel() for key in moving)
    assert result.training["trainable_parameters"] == count + new

    after = result.classifier.backbone.state_dict()
    moved = {key for key in after if not torch.equal(after[key], before[key])}
    weights = {key for names in named for key in names}
    assert moved & weights <= moving
    due = _due(recipe, result, moving)
    assert len(moved & due) >= 0.8 * len(due)  # a gradient can be 0: a dead unit, a bias before a norm
    frozen_blocks = [block for block, names in zip(row, named, strict=True) if not moving & set(names)]
    inside = tuple(f"{module}." for block in frozen_blocks for module in block.modules)
    assert not [key for key in moved if inside and key.startswith(inside)]  # statistics of norms too

    if result.history:
        losses = [epoch["train_loss"] for epoch in result.history]
        assert min(losses[1:]) < losses[0]
        assert result.history[result.training["best_epoch"] - 1]["val_auroc"] == max(
            epoch["val_auroc"] for epoch in result.history
        )
    assert 0 <= result.training["val_auroc"] <= 1
    calibration = result.training["calibration"]
    assert calibration["val_nll"] <= calibration["val_nll_uncalibrated"]
    if name != "adabn":  # its temperature is of before it had the target's statistics
        logits = torch.from_numpy(inference.logits(result.classifier, given.val.images, CPU))
        truth = torch.from_numpy(given.val.labels.argmax(axis=1))
        likelihood = functional.cross_entropy(logits.double() / calibration["temperature"], truth).item()
        assert calibration["val_nll"] == pytest.approx(likelihood, rel=1e-6, abs=1e-5)

    path = tmp_path / "model.safetensors"
    kept = recipe.blocks if name == "truncated" else 0
    header = Header(
        architecture,
        "test",
        32,
        CLASSES,
        "multiclass",
        blocks=kept,
        hidden=(24,) if "hidden" in name else (),
        temperature=calibration["temperature"],
    )
    networks.save_classifier(path, result.classifier, header)
    loaded, read = networks.load_classifier(path)
    assert read == header
    images = given.val.images
    assert np.array_equal(inference.logits(loaded, images, CPU), inference.logits(result.classifier, images, CPU))


def _moving(name, given, named):
    if name == "norm":
        kinds = (nn.BatchNorm2d, nn.LayerNorm)
        return {
            f"{module}.{own}"
            for module, found in given.backbone.named_modules()
            if isinstance(found, kinds)
            for own in ("weight", "bias")
        }
    wanted = range(3) if name == "truncated" else STRATEGIES[name][1](len(named))
    return {key for place in wanted for key in named[place]}


def _due(recipe, result, moving):
    """What had begun to move when the epoch ended whose weights were kept."""
    if recipe.strategy != "gradual":
        return moving
    plan = plans.plan(recipe, result.classifier, "")
    return {name.removeprefix("backbone.") for name in plan.moving(result.training["best_epoch"])} & moving


def test_what_is_frozen_does_not_move_by_a_bit(problem):
    """Of a network with BatchNorm and dropout: statistics stay, and dropout does not draw."""
    given = problem("mobilenet_v3_small")
    before = {key: value.clone() for key, value in given.backbone.state_dict().items()}
    classifier = run(_recipe("head", "mobilenet_v3_small", weight_decay=0.1, ema=0.5), given, 1, CPU).classifier
    after = classifier.backbone.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_modes_follow_what_moves(problem):
    given = problem("mobilenet_v3_small")
    classifier = Classifier(given.backbone, given.features, 3)
    for name, on, off in [
        ("head", [], ["features.0", "classifier"]),
        ("last", ["classifier", "features.12"], ["features.0", "features.11"]),
        ("norm", ["features.0.1"], ["classifier", "features.0.0", "features.4.block.2"]),
        ("full", ["features.0", "classifier"], []),
    ]:
        plan = plans.plan(_recipe(name, "mobilenet_v3_small"), classifier, "mobilenet_v3_small")
        plans.set_modes(classifier, plan.moving(1))
        dropouts = [module.training for module in classifier.backbone.classifier if isinstance(module, nn.Dropout)]
        assert dropouts == [name in {"last", "full"}]
        assert all(classifier.backbone.get_submodule(module).training for module in on)
        assert not any(classifier.backbone.get_submodule(module).training for module in off)


def test_gradual_unfreezing_releases_one_block_after_the_other(problem):
    given = problem("resnet18")
    classifier = Classifier(given.backbone, given.features, 3)
    for start, order in [("last", [4, 3, 2, 1, 0]), ("first", [0, 1, 2, 3, 4])]:
        recipe = _recipe("gradual_last", "resnet18", start=start, epochs_per_block=2.0, epochs=12)
        plan = plans.plan(recipe, classifier, "resnet18")
        assert plan.moving(1) == plan.moving(2) == set(plan.groups[-1])
        for place, block in enumerate(order):
            free = set(plan.groups[-1]).union(*(plan.groups[b] for b in order[: place + 1]))
            assert plan.moving(3 + 2 * place) == free
            assert set(plan.groups[block]) <= free
    with pytest.raises(UserError, match="raise epochs, or lower epochs_per_block"):
        plans.plan(_recipe("gradual_last", "resnet18", epochs_per_block=1.0, epochs=5), classifier, "resnet18")


def test_discriminative_rates_fall_towards_the_image(problem):
    given = problem("resnet18")
    classifier = Classifier(given.backbone, given.features, 3)
    plan = plans.plan(_recipe("layer_decay", "resnet18", decay=0.5), classifier, "resnet18")
    assert plan.scales == (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)


def test_relative_gradient_norms_are_those_of_the_definition():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    for place, (weight, gradient) in enumerate([(1.0, 2.0), (2.0, 1.0), (1.0, 9.0)]):
        for parameter in network[place].parameters():
            nn.init.constant_(parameter, weight)
            parameter.grad = torch.full_like(parameter, gradient)
    groups = tuple((f"{place}.weight", f"{place}.bias") for place in range(3))
    assert plans.relative_gradient_norms(network, groups) == pytest.approx((1, 0.25, 1))


@pytest.mark.parametrize(("name", "alphas"), [("l2_sp", (0.0001, 50.0)), ("l1_sp", (0.00001, 0.03))])
def test_the_pull_holds_the_backbone_near_its_start(name, alphas, problem):
    plain = {"optimizer": "sgd", "lr": 0.01, "momentum": 0.0, "epochs": 6, "monitor": "loss"}
    away = []
    for alpha in alphas:
        given = problem("resnet18")
        start = {key: value.clone() for key, value in given.backbone.named_parameters()}
        recipe = _recipe(name, "resnet18", alpha=alpha, **plain)
        run(recipe, given, 1, CPU)
        away.append(sum((value - start[key]).square().sum().item() for key, value in given.backbone.named_parameters()))
    assert away[1] < 0.6 * away[0]


def test_an_average_of_weights_is_what_is_kept(problem):
    """With a decay near 1 the average stays where the first step led, wherever training goes."""
    given = problem("resnet18")
    start = {key: value.clone() for key, value in given.backbone.named_parameters()}
    run(_recipe("full", "resnet18", lr=0.002, warmup_epochs=0, ema=0.9999, epochs=4), given, 1, CPU)
    away = max((value - start[key]).abs().max().item() for key, value in given.backbone.named_parameters())
    assert 0 < away < 1.1 * 0.002


def test_two_batches_added_up_are_one_twice_as_large(problem):
    """In a network without statistics of batches; the last two are of 8 and 4 images."""
    made = []
    for settings in ({"batch_size": 16}, {"batch_size": 8, "accumulate": 2}):
        given = problem("vgg11", train=44)
        for module in given.backbone.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        recipe = _recipe("full", "vgg11", optimizer="sgd", lr=0.01, epochs=1, **settings)
        made.append(run(recipe, given, 1, CPU).classifier.state_dict())
    for key, value in made[0].items():
        torch.testing.assert_close(value, made[1][key], rtol=1e-4, atol=1e-6)


def test_a_norm_that_is_clipped_makes_small_steps(problem):
    given = problem("resnet18")
    start = {key: value.clone() for key, value in given.backbone.named_parameters()}
    recipe = _recipe(
        "full", "resnet18", optimizer="sgd", lr=1.0, momentum=0.0, clip_norm=0.001, weight_decay=0.0, epochs=1
    )
    run(recipe, given, 1, CPU)
    away = sum((value - start[key]).square().sum().item() for key, value in given.backbone.named_parameters()) ** 0.5
    assert 0 < away <= 3 * 0.001  # three steps


def test_statistics_come_from_the_target(problem, stripes):
    given = problem("resnet18")
    brighter = stripes(64, seed=3)[0]
    brighter.pixels = np.clip(brighter.pixels.astype(int) + 90, 0, 255).astype(np.uint8)
    given = Problem(**{**given.__dict__, "target": brighter})
    classifier = run(_recipe("adabn", "resnet18"), given, 1, CPU).classifier
    seen = networks.to_input(torch.from_numpy(brighter.pixels))
    with torch.inference_mode():
        first = classifier.backbone.conv1(seen)
    torch.testing.assert_close(classifier.backbone.bn1.running_mean, first.mean(dim=(0, 2, 3)), rtol=1e-4, atol=1e-5)


def test_statistics_are_those_of_all_images_whatever_their_order_and_nothing_is_dropped_out(stripes):
    """Dark ones first, as a cohort sorted by site has them: parts of one site would vary too little."""
    levels = np.linspace(0, 255, 600).astype(np.uint8)
    images, _ = stripes(600)
    images.pixels = np.repeat(levels, 16).reshape(600, 4, 4)
    backbone = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    classifier = Classifier(backbone, 1, 2)
    adaptation.adapt_statistics(classifier, images, CPU, seed=1)
    seen = networks.to_input(torch.from_numpy(images.pixels))
    torch.testing.assert_close(backbone[1].running_mean, seen.mean(dim=(0, 2, 3)), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(backbone[1].running_var, seen.var(dim=(0, 2, 3)), rtol=0.02, atol=0)
    assert not any(module.training for module in classifier.modules())
    assert backbone[1].momentum == 0.1


def test_coral_draws_the_domains_together(problem, stripes):
    """A target of other contrast: the covariances of its features come nearer to those of the source."""
    far = []
    for name in ("full", "coral"):
        given = problem("resnet18", train=96)
        faint = stripes(96, seed=3)[0]
        faint.pixels = (faint.pixels // 2 + 100).astype(np.uint8)
        given = Problem(**{**given.__dict__, "target": faint})
        classifier = run(_recipe(name, "resnet18", epochs=6), given, 1, CPU).classifier
        source, target = (
            torch.from_numpy(inference.logits(classifier.backbone, images, CPU))
            for images in (given.train.images, faint)
        )
        far.append((torch.cov(source.T) - torch.cov(target.T)).norm() / source.var())
    assert far[1] < far[0] / 2


def test_the_gradient_of_the_domain_is_reversed():
    """The discriminator learns to tell the domains, the features not to be told; the more the further training is."""
    torch.manual_seed(0)
    source, target = torch.randn(6, 4, requires_grad=True), torch.randn(6, 4, requires_grad=True)
    discriminator = adaptation.Discriminator(4, 0.5)
    logits = discriminator.layers(torch.cat([source, target])).squeeze(1)
    truth = torch.cat([torch.zeros(6), torch.ones(6)])
    given = [source, target, *discriminator.parameters()]
    plain = torch.autograd.grad(nn.functional.binary_cross_entropy_with_logits(logits, truth), given)
    for progress, reach in [(0.0, 0.0), (0.2, 0.5 * (2 / (1 + math.exp(-2)) - 1)), (1.0, 0.49995)]:
        found = torch.autograd.grad(discriminator(source, target, progress), given)
        for one, other in zip(found[:2], plain[:2], strict=True):
            torch.testing.assert_close(one, -reach * other, rtol=1e-3, atol=1e-8)
        for one, other in zip(found[2:], plain[2:], strict=True):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"focal_gamma": 2.0, "mixup": 0.2}, "focal_gamma is for labels as they are"),
        ({"class_weights": True, "sampling": "balanced"}, "choose one"),
        ({"precision": "fp16"}, "fp16 needs a GPU"),
        ({"strategy": "last", "blocks": 9}, "resnet18 has 5: choose from 1 to 4"),
        ({"strategy": "truncated", "blocks": 5}, "resnet18 has 5: choose from 1 to 4"),
    ],
)
def test_what_does_not_fit_is_told(settings, said, problem):
    with pytest.raises(UserError, match=said):
        run(_recipe("full", "resnet18", **settings), problem("resnet18"), 1, CPU)


@pytest.mark.parametrize(
    "settings",
    [
        {"mixup": 0.4},
        {"focal_gamma": 2.0},
        {"sampling": "balanced"},
        {"schedule": "plateau"},
        {"precision": "bf16"},
        {"monitor": "balanced_accuracy"},
        {"augment": "ultrasound"},
    ],
)
def test_every_way_of_training_learns(settings, problem):
    result = run(_recipe("full", "resnet18", epochs=4, **settings), problem("resnet18", train=96), 1, CPU)
    assert result.training["val_auroc"] > 0.8
