"""Random changes of training images, a whole batch at once on the device."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Preset:
    """How far an image may be changed, each way, uniformly."""

    degrees: float  # of rotation
    shift: float  # fraction of the side, each axis
    scale: float  # 0.1: from 0.9 to 1.1 times
    brightness: float  # fraction of full scale
    contrast: float  # 0.2: from 0.8 to 1.2 times the distance to the image's mean
    mirrored: float = 0.0  # chance that left and right change places; never up and down
    speckle: float = 0.0  # standard deviation of the noise that multiplies


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        # What differs between two exposures of one chest. An upside-down chest is never met, and a mirrored one is
        # another patient: dextrocardia, or a heart, a stomach bubble and a side marker where they do not belong.
        "radiograph": Preset(degrees=10, shift=0.06, scale=0.1, brightness=0.1, contrast=0.2),
        # The probe is turned round and tilted by hand, gain and depth are set by the eye, and speckle is the noise of
        # coherent waves. Up and down are not alike: sound comes from above, and shadows fall below what makes them.
        "ultrasound": Preset(
            degrees=15, shift=0.08, scale=0.2, brightness=0.1, contrast=0.3, mirrored=0.5, speckle=0.1
        ),
    }
)

_DRAWS = 7


def draw(images: int, random: np.random.Generator) -> Tensor:
    """(images, 7) numbers from 0 to 1: all that :func:`augment` leaves to chance but noise.

    Drawn on a CPU for the whole batch, so that an image is changed alike wherever its part of the batch is computed.
    """
    return torch.from_numpy(random.random((images, _DRAWS), dtype=np.float32))


def augment(pixels: Tensor, preset: Preset, chances: Tensor, generator: Generator) -> Tensor:
    """(N, H, W) grey levels 0 to 255 of any type to changed ones, float32; what comes into view from outside is black.

    ``chances`` are those of :func:`draw`, (N, 7); they and ``generator``, of noise, are on the pixels' device.
    """
    turn, size, right, low, bright, strong, mirror = (2 * chances.T - 1).unbind()
    angle, scale = math.radians(preset.degrees) * turn, 1 + preset.scale * size
    across, down = 2 * preset.shift * right, 2 * preset.shift * low  # the grid's side is 2
    levels = placed(pixels, angle, scale, across, down, mirror < 2 * preset.mirrored - 1)
    if preset.speckle:
        noise = torch.randn(levels.shape, generator=generator, device=levels.device)
        levels = levels * (1 + preset.speckle * noise)
    return toned(levels, 1 + preset.contrast * strong, 255 * preset.brightness * bright).squeeze(1)


def placed(pixels: Tensor, angle: Tensor, scale: Tensor, across: Tensor, down: Tensor, mirrored: Tensor) -> Tensor:
    """(N, H, W) grey levels turned by ``angle``, enlarged by ``scale`` and shifted, (N, 1, H, W) float32.

    All (N,): radians; factors; of the middle, in halves of the side; whether left and right change places. Black comes
    into view from outside.
    """
    side = torch.where(mirrored, -1.0, 1.0)
    cosine, sine = angle.cos() / scale, angle.sin() / scale
    to_source = torch.stack([side * cosine, -sine, across, side * sine, cosine, down], dim=1).view(-1, 2, 3)
    levels = pixels.unsqueeze(1).to(torch.float32)
    grid = functional.affine_grid(to_source, list(levels.shape), align_corners=False)
    return functional.grid_sample(levels, grid, align_corners=False)


def toned(levels: Tensor, contrast: Tensor, brightness: Tensor) -> Tensor:
    """(N, 1, H, W) grey levels, their distance to the image's mean times ``contrast``, plus ``brightness`` (both N)."""
    mean = levels.mean(dim=(1, 2, 3), keepdim=True)
    changed = (levels - mean) * contrast.view(-1, 1, 1, 1) + mean + brightness.view(-1, 1, 1, 1)
    return changed.clamp_(0, 255)
