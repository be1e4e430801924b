"""Towards a site whose labels nobody knows: features that do not tell it from the others, or statistics of its own."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from stages.finetune.params import Coral, Dann, Descent
from stages.inference import BATCH_SIZE, Source
from stages.networks import Classifier, to_input
from stages.runtime import UserError

_DISCRIMINATOR = 256  # units of its one hidden layer
_STEEPNESS = 10.0  # of DANN's ramp, gamma in the paper


class Aligned(nn.Module):
    """A classifier that looks at images of both domains at once."""

    def __init__(self, classifier: Classifier, alignment: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier
        self.alignment = alignment

    def forward(self, images: Tensor, sources: int, progress: float) -> tuple[Tensor, Tensor]:
        """Logits (sources, K) of the first ``sources`` images, and how much the features of the others differ."""
        features = self.classifier.backbone(images)
        logits = self.classifier.head(features[:sources])
        return logits, self.alignment(features[:sources].float(), features[sources:].float(), progress)


class Covariances(nn.Module):
    """Deep CORAL: alpha |C_s - C_t|^2 / 4 d^2 of the features' covariances (Sun and Saenko 2016, equation 1)."""

    def __init__(self, alpha: float) -> None:
        super().__init__()
        self._alpha = alpha

    def forward(self, source: Tensor, target: Tensor, _progress: float) -> Tensor:
        """A scalar of (n, D) and (m, D) features."""
        with torch.autocast(source.device.type, enabled=False):  # squares of small differences
            distance = torch.cov(source.T) - torch.cov(target.T)
            return self._alpha * distance.square().sum() / (4 * source.shape[1] ** 2)


class Discriminator(nn.Module):
    """DANN: which domain? Its gradient goes into the backbone reversed (Ganin et al. 2016).

    The reversal grows as alpha (2 / (1 + exp(-10 p)) - 1) with the progress p of training.
    """

    def __init__(self, features: int, alpha: float) -> None:
        super().__init__()
        self._alpha = alpha
        self.layers = nn.Sequential(nn.Linear(features, _DISCRIMINATOR), nn.ReLU(), nn.Linear(_DISCRIMINATOR, 1))

    def forward(self, source: Tensor, target: Tensor, progress: float) -> Tensor:
        """The discriminator's cross-entropy, a scalar."""
        reach = self._alpha * (2 / (1 + math.exp(-_STEEPNESS * progress)) - 1)
        both = _Reversed.apply(torch.cat([source, target]), reach)  # type: ignore[no-untyped-call]  # torch's
        truth = torch.cat([torch.zeros(len(source)), torch.ones(len(target))]).to(both.device)
        return nn.functional.binary_cross_entropy_with_logits(self.layers(both).squeeze(1).float(), truth)


def alignment(recipe: Descent, features: int) -> nn.Module | None:
    """What draws the domains together, where the recipe wants that."""
    match recipe:
        case Coral(alpha=alpha):
            return Covariances(alpha)
        case Dann(alpha=alpha):
            return Discriminator(features, alpha)
    return None


def require_batch_norm(backbone: nn.Module, architecture: str) -> None:
    """Raise :class:`UserError` if ``backbone`` has no statistics to adapt."""
    if not any(isinstance(module, _BatchNorm) for module in backbone.modules()):
        raise UserError(f"adabn needs BatchNorm, and {architecture} has none: choose coral, dann or another backbone")


def adapt_statistics(classifier: Classifier, images: Source, device: torch.device, seed: int) -> None:
    """AdaBN (Li et al. 2016): BatchNorm's means and variances become those of ``images``, in one pass over them.

    Images are shuffled, so that every part of them is like the whole; nothing is dropped out.

    Raises
    ------
    UserError
        If there is but one image, which has no variance.
    """
    if len(images) < 2:  # noqa: PLR2004
        raise UserError("adabn: the target has one image: it needs more")
    order = np.random.default_rng(seed).permutation(len(images))
    classifier.eval()
    norms = [module for module in classifier.modules() if isinstance(module, _BatchNorm)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
        norm.momentum = None  # of all parts the mean
    with torch.inference_mode():
        for part in np.array_split(order, math.ceil(len(images) / BATCH_SIZE)):  # of one size
            classifier(to_input(torch.from_numpy(images.fetch(part)).to(device)))
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
    classifier.eval()


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, reach: float) -> Tensor:
        ctx.reach = reach
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.reach * gradients[0], None
