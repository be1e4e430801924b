"""``recipes`` in params.yaml: each is one strategy of transfer learning and its settings.

The strategies are those that Davila et al., "Comparison of fine-tuning strategies for transfer learning in medical
image classification" (2024, arXiv 2406.10050) and Peng et al., "Rethink Transfer Learning in Medical Image
Classification" (2021, arXiv 2106.05152) compare, with domain adaptation by images without labels.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from stages.learning.params import CANDIDATES, Optimisation
from stages.params import Section


class LinearProbe(Section):
    """Logistic regression on the features of the frozen backbone: the starting weights, judged as they are."""

    strategy: Literal["linear_probe"]
    weights: str = Field(min_length=1)
    """A name of ``weights`` or of ``self_supervised``; that of ``features.weights`` saves a second look at images."""
    c: list[PositiveFloat] = Field(default=CANDIDATES, min_length=1)
    """Inverse strengths of the L2 penalty to try; the best by validation AUROC is kept."""
    class_weights: bool = False
    """Weigh classes by the inverse of their frequency in train."""


class Descent(Optimisation):
    """What every strategy has that trains by gradient descent, under a new last layer."""

    weights: str = Field(min_length=1)
    """A name of ``weights`` or of ``self_supervised``."""
    hidden: list[PositiveInt] = Field(default=[])
    """Widths of layers between the features and the last layer: none, and the last layer is all that is new."""

    schedule: Literal["cosine", "plateau", "constant"] = "cosine"
    """Of the learning rate after warm-up: a half cosine to 0; by ``plateau_factor`` whenever ``monitor`` has not got
    better for ``plateau_patience`` epochs; or none."""
    plateau_factor: float = Field(default=0.1, gt=0, lt=1)
    plateau_patience: int = Field(default=3, ge=1)
    accumulate: int = Field(default=1, ge=1)
    """Batches to a step: as one batch so many times as large, in the memory of one, but for BatchNorm's statistics."""
    clip_norm: float = Field(default=0.0, ge=0)
    """Largest norm of all gradients together; 0: no limit."""
    ema: float = Field(default=0.0, ge=0, lt=1)
    """Decay of the moving average of the weights, a step; it is then judged and kept in their place. 0: none."""

    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    focal_gamma: float = Field(default=0.0, ge=0)
    """Of the focal loss: how much less an image counts that is told well already (Lin et al. 2017). 0: none."""
    mixup: float = Field(default=0.0, ge=0)
    """Alpha of mixup: images and labels are mixed in pairs, by a share from Beta(alpha, alpha). 0: none."""
    class_weights: bool = False
    """Weigh classes by the inverse of their frequency in train."""
    sampling: Literal["shuffled", "balanced"] = "shuffled"
    """``balanced``: an epoch draws as many images as train has, with replacement, each class as often as the others."""
    augment: Literal["none", "radiograph", "ultrasound"] = "radiograph"
    """Random changes of training images: :data:`stages.learning.augment.PRESETS`."""

    monitor: Literal["auroc", "auprc", "balanced_accuracy", "loss"] = "auroc"
    """What on val chooses the epoch whose weights are kept, and ends training."""
    patience: int = Field(default=10, ge=1)
    """Epochs without a better one after which training stops."""

    @model_validator(mode="after")
    def _losses_fit_together(self) -> Self:
        if self.focal_gamma and (self.label_smoothing or self.mixup):
            raise ValueError("focal_gamma is for labels as they are: set label_smoothing and mixup to 0")
        if self.class_weights and self.sampling == "balanced":
            raise ValueError("class_weights and sampling: balanced both make up for rare classes: choose one")
        return self


class Full(Descent):
    """Every layer is trained."""

    strategy: Literal["full"]


class Scratch(Descent):
    """Every layer is trained, from a random start: what transfer must beat. Its weights are of source ``random``."""

    strategy: Literal["scratch"]


class Head(Descent):
    """Feature extraction by gradient descent: the backbone is frozen, only what is new is trained."""

    strategy: Literal["head"]


class Last(Descent):
    """Task adaptation: the last blocks and what is new are trained, the others frozen."""

    strategy: Literal["last"]
    blocks: int = Field(ge=1)
    """Of :func:`stages.blocks.split`."""


class First(Descent):
    """Domain adaptation by layers: the first blocks and what is new are trained, the others frozen."""

    strategy: Literal["first"]
    blocks: int = Field(ge=1)


class Norm(Descent):
    """Domain adaptation by norms: scale, shift and statistics of BatchNorm (LayerNorm has none), and what is new."""

    strategy: Literal["norm"]


class LinearProbeThenFull(Descent):
    """LP-FT: a linear probe, then every layer from there (Kumar et al., ICLR 2022)."""

    strategy: Literal["linear_probe_then_full"]
    c: list[PositiveFloat] = Field(default=CANDIDATES, min_length=1)
    """As of ``linear_probe``."""

    @model_validator(mode="after")
    def _one_layer(self) -> Self:
        if self.hidden:
            raise ValueError("hidden: a linear probe is one layer: leave it out, or choose strategy full")
        return self


class Gradual(Descent):
    """Gradual unfreezing: what is new first, then one block more every ``epochs_per_block`` epochs."""

    strategy: Literal["gradual"]
    start: Literal["last", "first"]
    """From the last block to the first (Howard and Ruder 2018), or from the first to the last."""
    epochs_per_block: PositiveFloat = 1.0
    """0.5: two blocks an epoch."""


class LayerDecay(Descent):
    """Discriminative learning rates: each block learns by ``decay`` times the rate of the block after it."""

    strategy: Literal["layer_decay"]
    decay: float = Field(gt=0, le=1)


class L2SP(Descent):
    """L2-SP: pulled back to where the backbone started, by half ``alpha`` times the square of the distance.

    ``weight_decay`` is for what is new alone (beta in Li, Grandvalet and Davoine, ICML 2018).
    """

    strategy: Literal["l2_sp"]
    alpha: PositiveFloat


class L1SP(Descent):
    """L1-SP: as L2-SP, by ``alpha`` times the sum of the absolute distances."""

    strategy: Literal["l1_sp"]
    alpha: PositiveFloat


class AutoRgn(Descent):
    """Automatic rates: each epoch a block learns by its relative gradient norm, the largest 1 (Lee et al. 2023)."""

    strategy: Literal["auto_rgn"]


class Truncated(Descent):
    """Truncated transfer: the backbone is cut after its first blocks, and every layer of the rest is trained."""

    strategy: Literal["truncated"]
    blocks: int = Field(ge=1)


class Target(Section):
    """The images of another site, whose labels nobody knows: rows of the cohort, and images without a label."""

    column: Literal["batch", "site", "manufacturer", "modality", "body_part", "view"]
    """Of the cohort."""
    value: str = Field(min_length=1)


class _TowardsTarget(Descent):
    target: Target
    """Its labels neither train nor choose the epoch; recipes are compared on the whole of val, as all are."""


class AdaBN(_TowardsTarget):
    """Every layer is trained on the other sites, then BatchNorm's statistics are the target's (Li et al. 2016)."""

    strategy: Literal["adabn"]


class Coral(_TowardsTarget):
    """Deep CORAL: features of the target are to vary as those of the other sites do (Sun and Saenko 2016)."""

    strategy: Literal["coral"]
    alpha: PositiveFloat
    """Weight of the distance of the features' covariances, a mean over all pairs of features: such that it comes to
    about the classification loss, as in the paper (which takes logits); in the hundreds for a thousand features."""


class Dann(_TowardsTarget):
    """DANN: features from which nobody can tell the target (Ganin et al. 2016)."""

    strategy: Literal["dann"]
    alpha: PositiveFloat = 0.1
    """Largest weight of the reversed gradient, reached in the course of training."""


DescentRecipe = (
    Full
    | Scratch
    | Head
    | Last
    | First
    | Norm
    | LinearProbeThenFull
    | Gradual
    | LayerDecay
    | L2SP
    | L1SP
    | AutoRgn
    | Truncated
    | AdaBN
    | Coral
    | Dann
)
Recipe = Annotated[LinearProbe | DescentRecipe, Field(discriminator="strategy")]
"""One recipe: ``recipes.<name>``."""
