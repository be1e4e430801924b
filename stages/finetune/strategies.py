"""From a recipe, starting weights and labelled images to a classifier: one function per strategy."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from stages import inference
from stages.artifacts.cohort import Task
from stages.artifacts.model import Epoch, Training
from stages.finetune import training
from stages.finetune.params import Full, LinearProbe, Recipe
from stages.finetune.training import Examples
from stages.networks import Classifier


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


@dataclass(frozen=True)
class Result:
    """A trained classifier and how it came about."""

    classifier: Classifier
    training: Training
    history: list[Epoch]


def run(recipe: Recipe, problem: Problem, seed: int, device: torch.device, on_epoch: Callable[[Epoch], None]) -> Result:
    """Follow ``recipe``. The same result for the same ``seed``, to the bit on a CPU."""
    torch.manual_seed(seed)
    classifier = Classifier(problem.backbone, problem.features, len(problem.classes))
    match recipe:
        case LinearProbe():
            return _linear_probe(recipe, problem, classifier, device)
        case Full():
            return _full(recipe, problem, classifier, seed=seed, device=device, on_epoch=on_epoch)


def _full(
    recipe: Full,
    problem: Problem,
    classifier: Classifier,
    *,
    seed: int,
    device: torch.device,
    on_epoch: Callable[[Epoch], None],
) -> Result:
    course = training.fit(
        classifier, problem.train, problem.val, problem.task, recipe, seed=seed, device=device, on_epoch=on_epoch
    )
    record = Training(
        strategy=recipe.strategy,
        weights=recipe.weights,
        architecture=problem.architecture,
        epochs=len(course.history),
        best_epoch=course.best_epoch,
        images_seen=course.images_seen,
        trainable_parameters=_count(classifier.parameters()),
        parameters=_count(classifier.parameters()),
        device=device.type,
        precision=course.precision,
        chosen={},
    )
    return Result(classifier, record, course.history)


def _linear_probe(recipe: LinearProbe, problem: Problem, classifier: Classifier, device: torch.device) -> Result:
    from stages.finetune import probe  # noqa: PLC0415 - scikit-learn takes 2 s that no other strategy needs to spend

    head = probe.fit(
        (_features(problem.train, problem.backbone, device), problem.train.labels),
        (_features(problem.val, problem.backbone, device), problem.val.labels),
        problem.task,
        problem.classes,
        candidates=recipe.c,
        class_weights=recipe.class_weights,
    )
    with torch.no_grad():
        classifier.head.weight.copy_(torch.from_numpy(head.weight))
        classifier.head.bias.copy_(torch.from_numpy(head.bias))
    record = Training(
        strategy=recipe.strategy,
        weights=recipe.weights,
        architecture=problem.architecture,
        epochs=0,
        best_epoch=0,
        images_seen=len(problem.train.labels),
        trainable_parameters=_count(classifier.head.parameters()),
        parameters=_count(classifier.parameters()),
        device=device.type,
        precision="fp32",
        chosen={"c": head.c},
    )
    return Result(classifier, record, [])


def _features(examples: Examples, backbone: nn.Module, device: torch.device) -> npt.NDArray[np.float32]:
    return examples.features if examples.features is not None else inference.logits(backbone, examples.images, device)


def _count(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)
