"""What the frozen backbone makes of a range of a batch's images. Runs here, or on a cluster's workers."""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from stages import inference, networks
from stages.artifacts import images
from stages.artifacts.features import Features
from stages.executor.stamp import stamp
from stages.loading import Images
from stages.reasons import Reason
from stages.runtime import UserError

IMAGES = 16 * inference.BATCH_SIZE
"""In a range: whole batches, for an output's last bit depends on the size of its batch."""


def ranges(count: int) -> list[range]:
    """``count`` images in ranges of :data:`IMAGES`."""
    return [range(start, min(start + IMAGES, count)) for start in range(0, count, IMAGES)]


@dataclass(frozen=True)
class Extractor:
    """Runs the backbone of ``weights`` (a path) over images of ``batch`` on a device of ``settings.device``."""

    batch: str
    weights: Path
    device: str

    def __call__(self, rows: range) -> Features:
        """(n, D) features of these rows."""
        source = Images(pd.DataFrame({"batch": self.batch, "row": rows}))
        backbone, device = _backbone(self.weights, source.image_size, self.device, self.stamp(rows))
        return np.concatenate(list(inference.outputs(backbone, source, device)))

    def lost(self, rows: range, reason: Reason) -> Features:
        """Features cannot be made of fewer images: an end of the process ends the stage."""
        raise UserError(
            f"the process that runs the backbone ended ({reason.name}) at images {rows.start} to {rows.stop}: give it "
            "more memory, or a smaller backbone"
        )

    def stamp(self, _: range) -> tuple[tuple[int, int] | None, ...]:
        """Of the pixels and the weights."""
        return stamp(images.directory(self.batch) / "pixels.npy"), stamp(self.weights)


def save(path: Path, parts: Iterable[Features]) -> None:
    """Write a chunk's features."""
    with path.open("wb") as file:
        np.save(file, np.concatenate(list(parts)), allow_pickle=False)


def load(path: Path) -> Iterator[Features]:
    """What :func:`save` wrote."""
    yield np.load(path, allow_pickle=False)


@functools.lru_cache(maxsize=1)
def _backbone(weights: Path, image_size: int, device: str, _: object) -> tuple[nn.Module, torch.device]:
    chosen = inference.device(device)
    return networks.load_backbone(weights, image_size)[0], chosen
