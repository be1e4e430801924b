"""Which tensors a strategy moves, from which epoch on, and how fast; and how the others are kept as they are."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from stages import blocks
from stages.blocks import Block
from stages.finetune.params import Descent, First, Gradual, Head, Last, LayerDecay, Norm
from stages.networks import Classifier
from stages.runtime import UserError

_NORMS = (_BatchNorm, nn.LayerNorm, nn.GroupNorm)
_BACKBONE, _HEAD = "backbone.", "head."


@dataclass(frozen=True)
class Plan:
    """What moves in a classifier, by the names of its parameters.

    Attributes
    ----------
    groups
        The parameters of each block of the backbone, first to last, then those of the head: every one of them once.
    scales
        Of the learning rate, one per group.
    since
        The first epoch (from 1) in which a parameter moves; one that is not there never does.
    """

    groups: tuple[tuple[str, ...], ...]
    scales: tuple[float, ...]
    since: Mapping[str, int]

    def moving(self, epoch: int) -> frozenset[str]:
        """The parameters that move in an epoch."""
        return frozenset(name for name, first in self.since.items() if first <= epoch)


def plan(recipe: Descent, classifier: Classifier, architecture: str) -> Plan:
    """What ``recipe`` moves in ``classifier``.

    Raises
    ------
    UserError
        If the backbone has too few blocks, or too many for the epochs, or no norms.
    """
    row = blocks.split(classifier.backbone)
    groups = [tuple(_BACKBONE + name for name in block.parameters(classifier.backbone)) for block in row]
    head = tuple(_HEAD + name for name, _ in classifier.head.named_parameters())
    scales = [1.0] * len(groups)
    first: list[int | None] = [1] * len(groups)
    match recipe:
        case Head():
            first = [None] * len(groups)
        case Last(blocks=count):
            blocks.require(row, count, architecture)
            first[:-count] = [None] * (len(groups) - count)
        case First(blocks=count):
            blocks.require(row, count, architecture)
            first[count:] = [None] * (len(groups) - count)
        case Gradual(start=start, epochs_per_block=each):
            upwards = [1 + math.ceil(each * (place + 1)) for place in range(len(groups))]
            if upwards[-1] > recipe.epochs:
                fits = math.floor(100 * (recipe.epochs - 1) / len(groups)) / 100
                lower = f", or lower epochs_per_block to {fits} or less" if fits else ""
                raise UserError(
                    f"gradual: {architecture} has {len(groups)} blocks, the last free in epoch {upwards[-1]} of "
                    f"{recipe.epochs}: raise epochs{lower}"
                )
            first = [*(upwards if start == "first" else reversed(upwards))]
        case LayerDecay(decay=decay):
            scales = [decay ** (len(groups) - place) for place in range(len(groups))]
    since = {name: epoch for names, epoch in zip(groups, first, strict=True) if epoch for name in names}
    if isinstance(recipe, Norm):
        norms = _norms(classifier)
        if not norms:
            raise UserError(f"strategy norm: {architecture} has no norms: choose another strategy or architecture")
        since = dict.fromkeys(norms, 1)
    return Plan((*groups, head), (*scales, 1.0), since | dict.fromkeys(head, 1))


def set_modes(classifier: Classifier, moving: frozenset[str]) -> None:
    """Let exactly the parameters ``moving`` have gradients; what is frozen keeps its statistics and drops nothing out.

    A block in which all parameters move is in training mode. Of another block only the norms that move are.
    """
    for name, parameter in classifier.named_parameters():
        parameter.requires_grad_(name in moving)
    classifier.train()
    for block in blocks.split(classifier.backbone):
        if all(_BACKBONE + name in moving for name in block.parameters(classifier.backbone)):
            continue
        _freeze(classifier, block, moving)


def _freeze(classifier: Classifier, block: Block, moving: frozenset[str]) -> None:
    for name in block.modules:
        classifier.backbone.get_submodule(name).eval()
        for inner, module in classifier.backbone.get_submodule(name).named_modules(prefix=_BACKBONE + name):
            if isinstance(module, _NORMS):
                own = [f"{inner}.{name}" for name, _ in module.named_parameters(recurse=False)]
                module.train(bool(own) and moving.issuperset(own))  # one without parameters is no norm that moves


def relative_gradient_norms(classifier: nn.Module, groups: tuple[tuple[str, ...], ...]) -> tuple[float, ...]:
    """Of each group but the last (the head, which is new) |gradient| / |weights|, as a part of the largest; then 1.

    Raises
    ------
    UserError
        If there is no gradient at all, or it is no number.
    """
    named = dict(classifier.named_parameters())
    found = []
    for names in groups[:-1]:
        weights = torch.stack([named[name].detach().norm() for name in names]).norm()
        gradients = [g.norm() for name in names if (g := named[name].grad) is not None]
        ratio = torch.stack(gradients).norm() / weights.clamp(min=torch.finfo(torch.float32).tiny) if gradients else 0.0
        found.append(float(ratio))
    largest = max(found)
    if not largest > 0 or largest == float("inf"):
        raise UserError("auto_rgn: the gradients vanish or are no numbers: lower this recipe's lr")
    return (*(value / largest for value in found), 1.0)


def _norms(classifier: Classifier) -> list[str]:
    return [
        f"{name}.{own}"
        for name, module in classifier.named_modules()
        if isinstance(module, _NORMS)
        for own, _ in module.named_parameters(recurse=False)
    ]
