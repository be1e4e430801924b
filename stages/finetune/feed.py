"""What a device sees: its part of every batch, read ahead from the memory map, with all that chance decides."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import Tensor

from stages.finetune.params import Descent
from stages.inference import Source
from stages.learning.augment import draw
from stages.learning.sampling import balanced, batches, endless
from stages.loading import ahead

Indices = npt.NDArray[np.int64]
_TENSORS = ("pixels", "labels", "chances", "target", "partners")


@dataclass(frozen=True)
class Examples:
    """Images and their (N, K) labels: 0, 1 or NaN (unknown); and (N, D) features where they are known already."""

    images: Source
    labels: npt.NDArray[np.float32]
    features: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Batch:
    """One device's part of a batch."""

    pixels: Tensor  # (n, H, W) uint8
    labels: Tensor  # (n, K)
    target: Tensor  # (m, H, W) uint8: images of the other domain
    chances: Tensor  # (n + m, 7): of augmentation
    partners: Tensor  # (n) of mixup
    share: float  # of mixup
    part: float  # of a step's images, times the number of devices: gradients are averaged over them

    def moved(self, device: torch.device) -> "Batch":
        """The same on ``device``."""
        return replace(self, **{name: getattr(self, name).to(device, non_blocking=True) for name in _TENSORS})

    def pinned(self) -> "Batch":
        """The same in memory that a GPU reads by itself."""
        return replace(self, **{name: getattr(self, name).pin_memory() for name in _TENSORS})


class Feed:
    """Train, in batches that are shared out over the devices, and beside them images of ``target`` if there are any."""

    def __init__(self, train: Examples, target: Source | None, recipe: Descent, fabric: Fabric) -> None:
        self.train, self.target = train, target
        self._recipe, self._fabric = recipe, fabric
        self._chances = balanced(train.labels) if recipe.sampling == "balanced" else None
        self.batches = len(self._order(0, 0))
        """In an epoch."""

    def epoch(self, seed: int, number: int) -> Iterator[Batch]:
        """The batches of an epoch, each made while the one before it is used; the same for the same arguments."""
        return ahead(self._made(seed, number))

    def plain(self, seed: int, number: int, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Pixels and labels of an epoch's first ``count`` batches, as they are."""
        for indices in self._order(seed, number)[:count]:
            mine = self._mine(indices)
            yield torch.from_numpy(self.train.images.fetch(mine)), torch.from_numpy(self.train.labels[mine])

    def _made(self, seed: int, number: int) -> Iterator[Batch]:
        order = self._order(seed, number)
        sizes = [len(indices) for indices in order]
        others: list[Indices] = [np.empty(0, dtype=np.int64)] * len(order)
        if self.target is not None:
            others = endless(len(self.target), sizes, seed, number)
        random = np.random.default_rng([seed, number, 2])
        # its own: how much it draws depends on how many devices share a batch, and augmentation must not
        pairing = np.random.default_rng([seed, number, 3, self._fabric.global_rank])
        alpha, together = self._recipe.mixup, self._recipe.accumulate
        for place, (indices, foreign) in enumerate(zip(order, others, strict=True)):
            first = place - place % together
            mine, theirs = self._mine(indices), self._mine(foreign)
            # drawn for the whole batch: an image is changed alike on however many devices
            chances = [draw(len(whole), random)[self._mine(np.arange(len(whole)))] for whole in (indices, foreign)]
            pixels = self.train.images.fetch(mine)
            made = Batch(
                pixels=torch.from_numpy(pixels),
                labels=torch.from_numpy(self.train.labels[mine]),
                target=torch.from_numpy(pixels[:0] if self.target is None else self.target.fetch(theirs)),
                chances=torch.cat(chances),
                partners=torch.from_numpy(pairing.permutation(len(mine))),
                share=float(random.beta(alpha, alpha)) if alpha else 1.0,
                part=len(mine) * self._fabric.world_size / sum(sizes[first : first + together]),
            )
            yield made.pinned() if self._fabric.device.type == "cuda" else made

    def _order(self, seed: int, number: int) -> list[Indices]:
        least = 2 * self._fabric.world_size
        return batches(len(self.train.labels), self._recipe.batch_size, seed, number, self._chances, least)

    def _mine(self, whole: Indices) -> Indices:
        return np.array_split(whole, self._fabric.world_size)[self._fabric.global_rank]
