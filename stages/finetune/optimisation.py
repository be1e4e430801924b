"""How weights move: the optimiser and its learning rate over time."""

import math
from collections.abc import Iterable

from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from stages.finetune.params import Full


def optimiser(parameters: Iterable[nn.Parameter], recipe: Full) -> Optimizer:
    """SGD with momentum, or AdamW (Loshchilov & Hutter 2019)."""
    if recipe.optimizer == "adamw":
        return AdamW(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay)
    return SGD(
        parameters,
        lr=recipe.lr,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.nesterov,
    )


def schedule(optimizer: Optimizer, warmup_steps: int, steps: int) -> LambdaLR:
    """Linear warm-up, then half a cosine to 0 (Loshchilov & Hutter 2017), stepped after every batch."""
    return LambdaLR(optimizer, lambda step: factor(step, warmup_steps, steps))


def factor(step: int, warmup_steps: int, steps: int) -> float:
    """Of the learning rate, at ``step`` from 0."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(1, steps - warmup_steps)))
