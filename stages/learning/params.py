"""How weights move: the settings of every stage that trains by gradient descent."""

from typing import Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from stages.params import Section

CANDIDATES = [0.001, 0.01, 0.1, 1.0]
"""Inverse strengths C of a linear probe's L2 penalty that are worth a try."""


class Optimisation(Section):
    """Steps downhill: how many, how large, of how many images each, in which arithmetic."""

    epochs: int = Field(ge=1)
    batch_size: int = Field(default=32, ge=2)
    """Images in a step, on all devices together."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: PositiveFloat
    """Learning rate after warm-up."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Of SGD."""
    nesterov: bool = False
    weight_decay: float = Field(default=1e-4, ge=0)
    warmup_epochs: int = Field(default=1, ge=0)
    """Epochs in which the learning rate rises linearly."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """``auto``: bf16 on a GPU that has it, else fp32. bf16 and fp16 are mixed: weights stay fp32."""
    compile: bool = False
    """Let ``torch.compile`` translate the network first: a minute or so, and faster steps on a GPU."""

    threads: int = Field(default=2, ge=1)
    """Of a CPU. Another number adds gradients up in another order and so changes results: hence it is not the machine's
    to say."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.warmup_epochs > self.epochs:
            raise ValueError(f"warmup_epochs ({self.warmup_epochs}) must not be more than epochs ({self.epochs})")
        if self.nesterov and (self.optimizer != "sgd" or self.momentum == 0):
            raise ValueError("nesterov needs optimizer sgd and a momentum above 0")
        return self
