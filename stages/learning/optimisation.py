"""How weights move: the optimiser and its learning rate over time."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from stages.learning.params import Optimisation


def optimiser(parameters: Iterable[nn.Parameter] | Iterable[Mapping[str, Any]], settings: Optimisation) -> Optimizer:
    """SGD with momentum, or AdamW (Loshchilov & Hutter 2019), of parameters, or of groups as torch takes them."""
    if settings.optimizer == "adamw":
        # in one kernel: twice as fast; fp16 has gradients to scale back and to clip in between
        fused = settings.precision != "fp16"
        return AdamW(parameters, lr=settings.lr, weight_decay=settings.weight_decay, fused=fused)  # type: ignore[arg-type]
    return SGD(
        parameters,  # type: ignore[arg-type]
        lr=settings.lr,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=settings.nesterov,
    )


def schedule(optimizer: Optimizer, warmup_steps: int, steps: int) -> LambdaLR:
    """Linear warm-up, then half a cosine to 0 (Loshchilov & Hutter 2017), stepped after every batch."""
    return LambdaLR(optimizer, lambda step: factor(step, warmup_steps, steps))


def factor(step: int, warmup_steps: int, steps: int) -> float:
    """Of the learning rate, at ``step`` from 0: a linear warm-up, then half a cosine to 0."""
    if step < warmup_steps:
        return warm_up(step, warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(1, steps - warmup_steps)))


def warm_up(step: int, warmup_steps: int) -> float:
    """Of the learning rate, at ``step`` from 0: linear, then 1."""
    return min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0


def plateau(scores: Iterable[float], factor: float, patience: int) -> float:
    """Of the learning rate, after epochs with these scores: falls by ``factor`` if none rose for ``patience``."""
    reached, best, waited = 1.0, -math.inf, 0
    for score in scores:
        if score > best:
            best, waited = score, 0
        elif (waited := waited + 1) >= patience:
            reached, waited = reached * factor, 0
    return reached
