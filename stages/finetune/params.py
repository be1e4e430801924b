"""``recipes`` in params.yaml: each is one strategy of transfer learning and its settings."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from stages.params import Section


class LinearProbe(Section):
    """Logistic regression on the features of the frozen backbone: the starting weights, judged as they are."""

    strategy: Literal["linear_probe"]
    weights: str = Field(min_length=1)
    """A name of ``weights``; where it is that of ``features.weights``, the images need no second look."""
    c: list[PositiveFloat] = Field(default=[0.001, 0.01, 0.1, 1.0], min_length=1)
    """Inverse strengths of the L2 penalty to try; the best by validation AUROC is kept."""
    class_weights: bool = False
    """Weigh classes by the inverse of their frequency in train."""


class Full(Section):
    """Every layer is trained by gradient descent, from ``weights`` on, under a new last layer."""

    strategy: Literal["full"]
    weights: str = Field(min_length=1)
    """A name of ``weights``."""
    epochs: int = Field(ge=1)
    batch_size: int = Field(default=32, ge=2)
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: PositiveFloat
    """Learning rate after warm-up, before it falls as a half cosine to 0."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Of SGD."""
    nesterov: bool = False
    weight_decay: float = Field(default=1e-4, ge=0)
    warmup_epochs: int = Field(default=1, ge=0)
    """Epochs in which the learning rate rises linearly."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    class_weights: bool = False
    """Weigh classes by the inverse of their frequency in train."""
    augment: Literal["none", "radiograph"] = "radiograph"
    """Random changes of training images: :data:`stages.finetune.augment.PRESETS`."""
    patience: int = Field(default=10, ge=1)
    """Epochs without a better validation AUROC after which training stops; the best epoch's weights are kept."""

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


Recipe = Annotated[LinearProbe | Full, Field(discriminator="strategy")]
"""One recipe: ``recipes.<name>``."""
