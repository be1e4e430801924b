"""What a study finds, as attenuation added to a thorax."""

import numpy as np

from stages.phantom.anatomy import Map, Thorax, noise, step


def add(chest: Thorax, finding: str, severity: float, random: np.random.Generator) -> Map:
    """The attenuation of ``chest`` with the finding in it, (GRID, GRID).

    Normal chests are not empty: each carries some haze, a scar or a patch of poor inspiration, as real ones do, so that
    a slight finding is hard to tell from none.
    """
    depth = chest.attenuation + _background(chest, random)
    if finding == "pneumonia":
        depth = depth + _pneumonia(chest, severity, random)
    elif finding == "effusion":
        depth = depth + _effusion(chest, severity, random)
    return depth.astype(np.float32)


def _background(chest: Thorax, random: np.random.Generator) -> Map:
    haze = 0.035 * random.random() * (1 + noise(random, 2.6))
    lines = 0.10 * random.random() * np.exp(-(((chest.y - random.uniform(0.1, 0.45)) / 0.012) ** 2))
    where = np.exp(-(((chest.x - random.uniform(-0.6, 0.6)) / 0.14) ** 2))
    field: Map = (haze + lines * where) * np.minimum(chest.lungs.sum(axis=0), 1)
    return field


def _pneumonia(chest: Thorax, severity: float, random: np.random.Generator) -> Map:
    """Textured opacity: air spaces filled, in one lobe or in patches; edges fade, vessels and airways show through."""
    side = int(random.integers(2))
    sign = 1 if side else -1
    mask = np.zeros_like(chest.x)
    patches = 1 + int(random.integers(3))
    centre = (sign * random.uniform(0.25, 0.58), random.uniform(-0.35, 0.42))
    for _ in range(patches):
        wide, high = (random.uniform(0.11, 0.18) * (1 + 0.9 * severity) for _ in range(2))
        at = (centre[0] + random.normal(0, 0.09), centre[1] + random.normal(0, 0.11))
        mask = np.maximum(mask, np.exp(-(((chest.x - at[0]) / wide) ** 2) - ((chest.y - at[1]) / high) ** 2))
    texture = np.clip(0.75 + 0.40 * noise(random, 2.7), 0.05, 1.8)
    lungs = chest.lungs if random.random() < 0.3 else chest.lungs[side : side + 1]  # noqa: PLR2004 - three in ten
    field: Map = (0.15 + 1.2 * severity) * mask * texture * np.minimum(lungs.sum(axis=0), 1)
    return field


def _effusion(chest: Thorax, severity: float, random: np.random.Generator) -> Map:
    """Fluid in the pleural space: it blunts the costophrenic angle, and its surface rises to the wall as a meniscus."""
    depth = np.zeros_like(chest.x)
    sides = [0, 1] if random.random() < 0.25 else [int(random.integers(2))]  # noqa: PLR2004 - one in four on both sides
    for side in sides:
        u = chest.x * (1 if side else -1)
        wall = np.clip((0.78 - u) / 0.5, 0, 1)  # 0 at the chest wall
        level = 0.80 - (0.08 + 0.66 * severity) * random.uniform(0.8, 1.1)
        surface = level + 0.26 * wall - 0.05 * np.exp(-wall / 0.08)
        inside = step(chest.y - surface, 0.022)
        depth += (0.6 + 0.5 * severity) * inside * np.minimum(chest.lungs[side], 1)
    return depth
