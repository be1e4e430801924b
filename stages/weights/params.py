"""``weights`` in params.yaml: named starting points, each of one source."""

import difflib
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from stages.params import Section
from stages.weights.architectures import ARCHITECTURES


def _known(name: str) -> str:
    if name not in ARCHITECTURES:
        close = difflib.get_close_matches(name, ARCHITECTURES, n=3) or ["mobilenet_v3_small", "resnet18", "vit_b_16"]
        raise ValueError(f"torchvision has no such classifier: choose another, such as {', '.join(close)}")
    return name


Architecture = Annotated[str, AfterValidator(_known)]


class Starter(Section):
    """The weights that come with radrepro."""

    source: Literal["starter"]


class Torchvision(Section):
    """Published weights, downloaded once and checked against their hash."""

    source: Literal["torchvision"]
    architecture: Architecture
    weights: str = "DEFAULT"
    """A name that torchvision gives them, such as ``IMAGENET1K_V1``; ``DEFAULT`` are its best."""


class File(Section):
    """Weights of one's own: safetensors, or what ``torch.save(model.state_dict(), path)`` writes.

    Keys are torchvision's, or those of TorchXRayVision's and timm's networks of one design with them (DenseNet, ResNet,
    ViT).
    """

    source: Literal["file"]
    architecture: Architecture
    path: str = Field(min_length=1)
    """From the top of the repository."""
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    """Of the file: with it, another file under the same name is an error, and a new digest rebuilds what follows."""
    black_white: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    """The numbers that black and white were when the weights were trained: ``[-1024, 1024]`` for TorchXRayVision,
    ``[-1, 1]`` for timm's ``augreg`` ViTs. Left out: greys as ImageNet's are normalised."""


class Random(Section):
    """No transfer: initialised from ``seed``."""

    source: Literal["random"]
    architecture: Architecture


WeightsEntry = Annotated[Starter | Torchvision | File | Random, Field(discriminator="source")]
"""One starting point: ``weights.<name>``."""
