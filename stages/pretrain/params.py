"""``self_supervised`` in params.yaml: starting points made of others by training on images without labels."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from stages.learning.params import CANDIDATES, Optimisation


class _Pretraining(Optimisation):
    weights: str = Field(min_length=1)
    """Where it starts: a name of ``weights``, or of another entry of ``self_supervised``."""
    batch_size: int = Field(default=128, ge=4)
    """Images in a step, of each of which there are two views: contrast wants many."""
    views: Literal["radiograph", "ultrasound"] = "radiograph"
    """How two views of an image may differ: :data:`stages.pretrain.views.PRESETS`."""
    probe_every: int = Field(default=5, ge=1)
    """Epochs after which a linear probe says what the backbone is worth by then; it says so first and last anyway."""
    probe_c: list[PositiveFloat] = Field(default=CANDIDATES, min_length=1)
    """Inverse strengths of the probe's penalty to try, as of the recipe ``linear_probe``."""


class SimCLR(_Pretraining):
    """Contrast: two views of an image are to be more alike than views of different images (Chen et al. 2020)."""

    method: Literal["simclr"]
    temperature: PositiveFloat = 0.1
    """By which similarities are divided: the lower, the more the nearest other images count."""


class Byol(_Pretraining):
    """Self-distillation: from one view, what a moving average of the network makes of the other (Grill et al. 2020)."""

    method: Literal["byol"]
    ema: float = Field(default=0.99, ge=0, lt=1)
    """Decay of the moving average, a step, at the start; it rises to 1 by half a cosine."""


SelfSupervised = Annotated[SimCLR | Byol, Field(discriminator="method")]
"""One entry: ``self_supervised.<name>``."""
