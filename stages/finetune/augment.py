"""Random changes of training images, a whole batch at once on the device."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Generator, Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Preset:
    """How far an image may be changed, each way, uniformly. Never flipped: see :data:`PRESETS`."""

    degrees: float  # of rotation
    shift: float  # fraction of the side, each axis
    scale: float  # 0.1: from 0.9 to 1.1 times
    brightness: float  # fraction of full scale
    contrast: float  # 0.2: from 0.8 to 1.2 times the distance to the image's mean


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        # What differs between two exposures of one chest. An upside-down chest is never met, and a mirrored one is
        # another patient: dextrocardia, or a heart, a stomach bubble and a side marker where they do not belong.
        "radiograph": Preset(degrees=10, shift=0.06, scale=0.1, brightness=0.1, contrast=0.2),
    }
)


def augment(pixels: Tensor, preset: Preset, generator: Generator) -> Tensor:
    """(N, H, W) grey levels 0 to 255 of any type to changed ones, float32; what comes into view from outside is black.

    ``generator`` is on the same device and the only source of chance.
    """

    def around(centre: float, reach: float) -> Tensor:
        unit = torch.rand(len(pixels), generator=generator, device=pixels.device)
        return centre + reach * (2 * unit - 1)

    angle, scale = around(0, math.radians(preset.degrees)), around(1, preset.scale)
    across, down = around(0, 2 * preset.shift), around(0, 2 * preset.shift)  # the grid's side is 2
    cosine, sine = angle.cos() / scale, angle.sin() / scale
    to_source = torch.stack([cosine, -sine, across, sine, cosine, down], dim=1).view(-1, 2, 3)
    levels = pixels.unsqueeze(1).to(torch.float32)
    grid = functional.affine_grid(to_source, list(levels.shape), align_corners=False)
    levels = functional.grid_sample(levels, grid, align_corners=False)
    mean = levels.mean(dim=(1, 2, 3), keepdim=True)
    contrast, brightness = around(1, preset.contrast), 255 * around(0, preset.brightness)
    levels = (levels - mean) * contrast.view(-1, 1, 1, 1) + mean + brightness.view(-1, 1, 1, 1)
    return levels.clamp_(0, 255).squeeze(1)
