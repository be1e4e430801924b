"""Grey images from formulas: fractals and textures, as many classes as wanted, no person, place or licence in them.

Fractals follow Kataoka et al., "Pre-training without Natural Images" (ACCV 2020): a class is an iterated function
system, an instance a perturbation of its parameters. Textures are what fractals lack and radiographs are made of:
coloured noise, gratings, cells, overlapping discs, soft blobs on gradients. Every image is a pure function of (seed,
class, instance).
"""

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

TEXTURES = ("noise", "grating", "cells", "discs", "blobs", "ribs")
_PARTICLES, _STEPS, _SETTLE = 512, 72, 12


def render(seed: int, label: int, instance: int, size: int, fractals: int) -> Image:
    """One image, (size, size) uint8: a fractal for labels below ``fractals``, a texture above."""
    shape = np.random.default_rng([seed, label])  # what the class shares
    vary = np.random.default_rng([seed, label, instance + 1])  # what the instance adds
    if label < fractals:
        field = _fractal(shape, vary, size)
    else:
        field = _texture(TEXTURES[label % len(TEXTURES)], shape, vary, size)
    low, high = np.percentile(field, (0.5, 99.5))
    scaled = np.clip((field - low) / max(float(high - low), 1e-6), 0, 1)
    image: Image = (scaled * 255).astype(np.uint8)
    return image


def _fractal(shape: np.random.Generator, vary: np.random.Generator, size: int) -> Floats:
    maps, chances = _contraction(shape)
    maps = maps * vary.uniform(0.9, 1.1, size=maps.shape)
    points = np.zeros((_PARTICLES, 2))
    trail = np.empty((_STEPS - _SETTLE, _PARTICLES, 2))
    choices = vary.choice(len(maps), size=(_STEPS, _PARTICLES), p=chances)
    for step in range(_STEPS):
        chosen = maps[choices[step]]
        points = np.einsum("nij,nj->ni", chosen[:, :, :2], points) + chosen[:, :, 2]
        points = np.clip(points, -1e3, 1e3)
        if step >= _SETTLE:
            trail[step - _SETTLE] = points
    flat = trail.reshape(-1, 2)
    low, high = np.percentile(flat, (1, 99), axis=0)
    at = ((flat - low) / np.maximum(high - low, 1e-6) * 0.9 + 0.05) * size
    counts, _, _ = np.histogram2d(at[:, 1], at[:, 0], bins=size, range=((0, size), (0, size)))
    density = np.log1p(counts).astype(np.float32)
    return _blurred(density, float(vary.uniform(0.6, 1.4)))


def _contraction(shape: np.random.Generator) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    count = int(shape.integers(2, 6))
    maps = np.empty((count, 2, 3))
    for k in range(count):
        u, v = shape.uniform(-np.pi, np.pi, 2)
        scale = np.diag(shape.uniform(0.25, 0.85, 2) * shape.choice([-1, 1], 2))
        maps[k, :, :2] = _turn(u) @ scale @ _turn(v)
        maps[k, :, 2] = shape.uniform(-1, 1, 2)
    weight = np.abs(np.linalg.det(maps[:, :, :2])) + 0.05
    return maps, weight / weight.sum()


def _turn(angle: float) -> npt.NDArray[np.float64]:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _texture(kind: str, shape: np.random.Generator, vary: np.random.Generator, size: int) -> Floats:
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    if kind == "noise":
        return _noise(float(shape.uniform(0.5, 3.5)), vary, size, stretch=float(shape.uniform(0.3, 3)))
    if kind == "grating":
        angle, rate, bend = shape.uniform(0, np.pi), shape.uniform(3, 20), shape.uniform(0, 3)
        angle += vary.normal(0, 0.08)
        warp = _noise(3.0, vary, size) * bend
        wave = np.sin(2 * np.pi * rate * (x * np.cos(angle) + y * np.sin(angle)) + warp + vary.uniform(0, 6))
        return _floats(wave + 0.4 * _noise(1.5, vary, size))
    if kind == "cells":
        count = int(shape.integers(8, 90))
        centres = vary.uniform(0, 1, (count, 2)).astype(np.float32)
        away = np.sqrt(((np.stack([x, y], -1)[:, :, None] - centres) ** 2).sum(-1))
        nearest = np.partition(away, 1, axis=2)[:, :, :2]
        edge = nearest[:, :, 1] - nearest[:, :, 0] if shape.random() < 0.5 else nearest[:, :, 0]
        return _floats(edge + float(shape.uniform(0, 0.03)) * vary.normal(size=edge.shape))
    if kind == "discs":
        return _discs(shape, vary, size)
    if kind == "blobs":
        field = (x * vary.normal() + y * vary.normal()).astype(np.float32)
        width, count = shape.uniform(0.03, 0.15), int(shape.integers(1, 12))
        sign = 1.0 if shape.random() < 0.5 else -1.0
        for cx, cy in vary.uniform(0.1, 0.9, (count, 2)):
            spread = width * vary.uniform(0.7, 1.4, 2)
            field += sign * np.exp(-(((x - cx) / spread[0]) ** 2) - ((y - cy) / spread[1]) ** 2)
        return _floats(field + float(shape.uniform(0.02, 0.3)) * _noise(float(shape.uniform(0, 2)), vary, size))
    # ribs: bright arcs over a soft field
    field = _noise(3.0, vary, size)
    count, bow, thick = int(shape.integers(4, 12)), shape.uniform(-0.6, 0.6), shape.uniform(0.05, 0.35)
    phase = (y + bow * (x - 0.5) ** 2 + vary.uniform(0, 1)) * count
    arcs = np.exp(-(((phase % 1) - 0.5) ** 2) / (2 * (thick / 2) ** 2))
    return _floats(field + float(vary.uniform(0.5, 2)) * arcs)


def _discs(shape: np.random.Generator, vary: np.random.Generator, size: int) -> Floats:
    """Dead leaves: discs of power-law radii that cover one another (Lee, Mumford and Huang 2001)."""
    field = np.full((size, size), 0.5, np.float32)
    largest, smallest = shape.uniform(0.1, 0.4), shape.uniform(0.01, 0.06)
    slope, square = shape.uniform(1.5, 3.5), shape.random() < 0.4
    radii = smallest + (largest - smallest) * vary.random(150) ** slope
    for radius, cx, cy, grey in zip(radii, *vary.random((3, 150)), strict=True):
        centre, reach = (int(cx * size), int(cy * size)), max(int(radius * size), 1)
        if square:
            cv2.rectangle(
                field, (centre[0] - reach, centre[1] - reach), (centre[0] + reach, centre[1] + reach), float(grey), -1
            )
        else:
            cv2.circle(field, centre, reach, float(grey), -1)
    return _blurred(field, float(shape.uniform(0.4, 1.5)))


def _noise(slope: float, vary: np.random.Generator, size: int, stretch: float = 1.0) -> Floats:
    """Gaussian noise with a power spectrum falling as 1/f^slope, unit variance."""
    fy = np.fft.fftfreq(size)[:, None] * stretch
    fx = np.fft.rfftfreq(size)[None, :]
    rate = np.sqrt(fx**2 + fy**2)
    rate[0, 0] = np.inf
    spectrum = np.fft.rfft2(vary.normal(size=(size, size))) * rate ** (-slope / 2)
    field = np.fft.irfft2(spectrum, s=(size, size))
    return _floats(field / (field.std() + 1e-9))


def _blurred(field: Floats, sigma: float) -> Floats:
    return _floats(np.asarray(cv2.GaussianBlur(field, (0, 0), sigma), dtype=np.float32))


def _floats(values: npt.NDArray[np.floating]) -> Floats:
    found: Floats = values.astype(np.float32)
    return found
