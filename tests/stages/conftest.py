"""Images that a small network can tell apart: stripes, finer for each class."""

import numpy as np
import pytest


class InMemory:
    def __init__(self, pixels):
        self.pixels = pixels

    def __len__(self):
        return len(self.pixels)

    def fetch(self, indices):
        return self.pixels[np.asarray(indices)]


@pytest.fixture(scope="session")
def stripes():
    def make(count, classes=3, size=32, seed=0):
        rng = np.random.default_rng(seed)
        kinds = np.arange(count) % classes
        down = np.arange(size)[:, None] * np.ones(size)
        waves = np.sin(2 * np.pi * (2 + 3 * kinds)[:, None, None] * down / size + rng.uniform(0, 6, (count, 1, 1)))
        pixels = np.clip(120 + 60 * waves + rng.normal(0, 20, (count, size, size)), 0, 255).astype(np.uint8)
        return InMemory(pixels), np.eye(classes, dtype=np.float32)[kinds]

    return make
