"""Two views of one image: as different as two looks at one patient may be, and no more. Batched, on the device.

What a view may change is what a network must learn not to care about, so it must change nothing that tells a finding:
crops from 8 % of the image on, as of photographs (Chen et al. 2020), would cut most findings off, and there are no
colours. Radiographs are cropped, turned and changed in tone by Azizi et al. 2021, too.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional

from stages.learning.augment import placed, toned

_OFTEN = 0.5  # the chance of blur, of noise, and of a square that is painted over: each
_SHARP = 1e-5  # of the side: a Gaussian so narrow that it is one pixel


@dataclass(frozen=True)
class Preset:
    """How far a view may be from the image; uniformly, each way, where there are two. Never upside down."""

    area: float  # least part of the image in view
    degrees: float  # of rotation
    brightness: float  # fraction of full scale
    contrast: float  # 0.2: from 0.8 to 1.2 times the distance to the image's mean
    gamma: float  # 0.5: exponents from 1 / 1.5 to 1.5
    blur: float  # largest standard deviation, as a fraction of the side
    noise: float  # largest standard deviation, as a fraction of full scale
    erased: float  # largest side of a square painted over with the image's mean, as a fraction of the side
    mirrored: float = 0.0  # chance that left and right change places
    speckle: float = 0.0  # largest standard deviation of noise that multiplies


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        # Not mirrored: on which side the heart and a finding are is what a radiograph tells.
        "radiograph": Preset(
            area=0.5, degrees=10, brightness=0.15, contrast=0.4, gamma=0.5, blur=0.01, noise=0.03, erased=0.25
        ),
        # The probe is turned round by hand; speckle is the noise of coherent waves.
        "ultrasound": Preset(
            area=0.5,
            degrees=15,
            brightness=0.15,
            contrast=0.4,
            gamma=0.5,
            blur=0.01,
            noise=0.0,
            erased=0.25,
            mirrored=0.5,
            speckle=0.2,
        ),
    }
)

_DRAWS = 13


def draw(images: int, random: np.random.Generator) -> Tensor:
    """(images, 13) numbers from 0 to 1: all that :func:`view` leaves to chance but the noise of single pixels."""
    return torch.from_numpy(random.random((images, _DRAWS), dtype=np.float32))


@torch.no_grad()
def view(pixels: Tensor, preset: Preset, chances: Tensor, generator: Generator) -> Tensor:
    """(N, H, W) grey levels 0 to 255 of any type to a view of each, float32.

    ``chances`` are those of :func:`draw`, (N, 13); they and ``generator``, of noise, are on the pixels' device.
    """
    place, tone, texture, square = torch.split(chances.T, [5, 3, 2, 3])
    levels = _cropped(pixels, preset, place)
    bright, strong, bent = 2 * tone - 1
    exponent = (math.log1p(preset.gamma) * bent).exp().view(-1, 1, 1, 1)
    levels = 255 * (levels / 255).clamp_(0, 1).pow(exponent)
    levels = toned(levels, 1 + preset.contrast * strong, 255 * preset.brightness * bright)
    width, strength = _often(texture)
    levels = _blurred(levels, preset.blur * width, math.ceil(3 * preset.blur * levels.shape[-1]))
    noise = torch.randn(levels.shape, generator=generator, device=levels.device) * strength.view(-1, 1, 1, 1)
    levels = levels * (1 + preset.speckle * noise) + 255 * preset.noise * noise
    return _erased(levels, preset, square).clamp_(0, 255).squeeze(1)


def _often(chances: Tensor) -> Tensor:
    """How much of a thing that is done to some images only: from 0 to 1, and 0 for the others."""
    return torch.where(chances < _OFTEN, chances / _OFTEN, 0.0)


def _cropped(pixels: Tensor, preset: Preset, chances: Tensor) -> Tensor:
    turn, area, right, low, mirror = chances
    part = (preset.area + (1 - preset.area) * area).sqrt()  # of each side
    room = 1 - part  # the middle of what is in view stays this near to the image's, in halves of the side
    angle = math.radians(preset.degrees) * (2 * turn - 1)
    return placed(pixels, angle, 1 / part, room * (2 * right - 1), room * (2 * low - 1), mirror < preset.mirrored)


def _blurred(levels: Tensor, deviation: Tensor, reach: int) -> Tensor:
    """Each image by a Gaussian of its own, first across, then down.

    ``deviation`` (N), 0 for none, is a fraction of the side; ``reach`` of the kernel is in pixels.
    """
    away = torch.arange(-reach, reach + 1, device=levels.device) / levels.shape[-1]
    kernel = torch.exp(-0.5 * (away / deviation.clamp(min=_SHARP).unsqueeze(1)).square())
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).view(len(levels), 1, 1, -1)
    row = functional.pad(levels.transpose(0, 1), (reach, reach, reach, reach), mode="replicate")
    row = functional.conv2d(row, kernel, groups=len(levels))
    return functional.conv2d(row, kernel.transpose(2, 3), groups=len(levels)).transpose(0, 1)


def _erased(levels: Tensor, preset: Preset, chances: Tensor) -> Tensor:
    size, across, down = chances
    half = preset.erased * _often(size).unsqueeze(1) / 2
    places = (torch.arange(levels.shape[-1], device=levels.device) + 0.5) / levels.shape[-1]
    rows, columns = ((places - at.unsqueeze(1)).abs() < half for at in (down, across))
    square = (rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1)
    return torch.where(square, levels.mean(dim=(1, 2, 3), keepdim=True), levels)
