"""From a recipe, starting weights and labelled images to a classifier."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from stages import blocks, inference
from stages.artifacts.cohort import Task
from stages.artifacts.model import Calibration, Epoch, Training
from stages.finetune import adaptation, plans, training
from stages.finetune.feed import Examples
from stages.finetune.params import AdaBN, DescentRecipe, LinearProbe, LinearProbeThenFull, Recipe, Truncated
from stages.inference import Source
from stages.learning import devices, scores, temperature
from stages.learning.resume import Progress
from stages.networks import Classifier, probabilities

_RARE = 10  # times as many images of one class as of another: worth a word

log = logging.getLogger("radrepro")


@dataclass(frozen=True)
class Problem:
    """What is to be learnt, from what, and where learning starts."""

    task: Task
    classes: tuple[str, ...]
    train: Examples
    val: Examples
    backbone: nn.Module
    features: int  # that the backbone makes
    architecture: str  # of the backbone
    image_size: int
    target: Source | None = None  # images of another site, for the recipes that name one


@dataclass(frozen=True)
class Result:
    """A trained classifier and how it came about."""

    classifier: Classifier
    training: Training
    history: list[Epoch]


def run(
    recipe: Recipe,
    problem: Problem,
    seed: int,
    device: torch.device,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    kept: Progress | None = None,
) -> Result:
    """Follow ``recipe``. The same result for the same ``seed``, to the bit on a CPU, killed in between or not.

    Raises
    ------
    UserError
        If the recipe does not fit the backbone, the images or the device.
    """
    torch.manual_seed(seed)
    _report_balance(problem)
    if isinstance(recipe, LinearProbe):
        classifier = Classifier(problem.backbone, problem.features, len(problem.classes))
        c = _probe(recipe, problem, classifier, device)
        logits = inference.logits(classifier, problem.val.images, device)
        val_auroc = _auroc(logits, problem)
        fitted = temperature.fit(logits, problem.val.labels, problem.task)
        seen = len(problem.train.labels)
        moved = classifier.head.parameters()
        record = _record(recipe, problem, classifier, moved, device, "fp32", seen, val_auroc, fitted)
        return Result(classifier, {**record, "chosen": {"c": c}}, [])
    return _descend(recipe, problem, seed, device, on_epoch, kept)


def _descend(
    recipe: DescentRecipe,
    problem: Problem,
    seed: int,
    device: torch.device,
    on_epoch: Callable[[Epoch], None],
    kept: Progress | None,
) -> Result:
    features, chosen = problem.features, {}
    if isinstance(recipe, Truncated):
        row = blocks.split(problem.backbone)
        blocks.require(row, recipe.blocks, problem.architecture)
        features = blocks.truncate(problem.backbone, recipe.blocks, problem.image_size)
    if isinstance(recipe, AdaBN):
        adaptation.require_batch_norm(problem.backbone, problem.architecture)
    precision = devices.precision(recipe.precision, device)
    fabric = devices.fabric(device, precision)
    classifier = Classifier(problem.backbone, features, len(problem.classes), recipe.hidden)
    plan = plans.plan(recipe, classifier, problem.architecture)
    if isinstance(recipe, LinearProbeThenFull):
        chosen = {"c": _probe(recipe, problem, classifier, device)}
    course = training.fit(
        classifier,
        problem.train,
        problem.val,
        problem.task,
        recipe,
        plan,
        seed=seed,
        fabric=fabric,
        target=problem.target,
        on_epoch=on_epoch,
        kept=kept,
    )
    val_auroc = course.history[course.best_epoch - 1]["val_auroc"]
    logits = inference.logits(classifier, problem.val.images, fabric.device)
    fitted = temperature.fit(logits, problem.val.labels, problem.task)
    if isinstance(recipe, AdaBN):  # val's labels are of the other sites: they say nothing about the target's statistics
        assert problem.target is not None
        adaptation.adapt_statistics(classifier, problem.target, device, seed)
    moved = [parameter for name, parameter in classifier.named_parameters() if name in plan.since]
    record = _record(recipe, problem, classifier, moved, device, precision, course.images_seen, val_auroc, fitted)
    epochs = {"epochs": len(course.history), "best_epoch": course.best_epoch}
    return Result(classifier, {**record, **epochs, "chosen": chosen}, course.history)  # type: ignore[typeddict-item]


def _probe(
    recipe: LinearProbe | LinearProbeThenFull, problem: Problem, classifier: Classifier, device: torch.device
) -> float:
    """Make a linear probe the last layer of ``classifier``; the C that val chose."""
    from stages.learning import probe  # noqa: PLC0415 - scikit-learn takes 2 s that no other strategy needs to spend

    head = probe.fit(
        (_features(problem.train, problem.backbone, device), problem.train.labels),
        (_features(problem.val, problem.backbone, device), problem.val.labels),
        problem.task,
        problem.classes,
        candidates=recipe.c,
        class_weights=recipe.class_weights,
    )
    assert isinstance(classifier.head, nn.Linear)
    with torch.no_grad():
        classifier.head.weight.copy_(torch.from_numpy(head.weight))
        classifier.head.bias.copy_(torch.from_numpy(head.bias))
    return head.c


def _features(examples: Examples, backbone: nn.Module, device: torch.device) -> npt.NDArray[np.float32]:
    return examples.features if examples.features is not None else inference.logits(backbone, examples.images, device)


def _auroc(logits: npt.NDArray[np.float32], problem: Problem) -> float:
    found = probabilities(torch.from_numpy(logits), problem.task).numpy()
    return scores.auroc(problem.val.labels, found, problem.task)


def _record(
    recipe: Recipe,
    problem: Problem,
    classifier: Classifier,
    moved: Iterable[nn.Parameter],
    device: torch.device,
    precision: str,
    images_seen: int,
    val_auroc: float,
    calibration: Calibration,
) -> Training:
    return Training(
        strategy=recipe.strategy,
        weights=recipe.weights,
        architecture=problem.architecture,
        epochs=0,
        best_epoch=0,
        val_auroc=round(val_auroc, 6),
        images_seen=images_seen,
        trainable_parameters=_count(moved),
        parameters=_count(classifier.parameters()),
        device=device.type,
        precision=precision,
        chosen={},
        calibration=calibration,
    )


def _count(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)


def _report_balance(problem: Problem) -> None:
    """Say how many training images each class has, and whether that wants a remedy."""
    positive = (problem.train.labels == 1).sum(axis=0)
    known = (~np.isnan(problem.train.labels)).sum(axis=0)
    told = ", ".join(f"{n} {name}" for name, n in zip(problem.classes, positive.tolist(), strict=True))
    log.info("train: %d images, %s", len(problem.train.labels), told)
    others = known - positive if problem.task is Task.MULTILABEL else positive
    rarest, commonest = int(positive.min()), int(others.max())
    if rarest * _RARE < commonest:
        log.warning("classes are unequal, %d to %d: see class_weights, sampling and focal_gamma", rarest, commonest)
