"""A network over many images, always in the same batches: the last bit of an output depends on the batch's size."""

import math
import os
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from stages.loading import ahead
from stages.networks import to_input
from stages.runtime import UserError, keep_memory, progress

BATCH_SIZE = 64


class Source(Protocol):
    """What holds images: :class:`stages.loading.Images`, or an array in a test."""

    def __len__(self) -> int: ...

    def fetch(self, indices: npt.ArrayLike) -> npt.NDArray[np.uint8]:
        """(n, H, W) grey levels of these images."""


def device(choice: str) -> torch.device:
    """The device of ``settings.device``, ``auto`` being a GPU where there is one; from here on torch is deterministic.

    On a CPU, an operation that is not deterministic becomes an error. On a GPU it becomes a warning: the gradient of
    adaptive pooling (VGG's, for one) exists in no other form there.

    Raises
    ------
    UserError
        If a GPU is asked for and there is none.
    """
    found = torch.cuda.is_available()
    if choice == "cuda" and not found:
        raise UserError("RADREPRO_DEVICE=cuda, but torch finds no GPU: set it to auto or cpu, or install a driver")
    chosen = torch.device("cuda" if choice == "cuda" or (choice == "auto" and found) else "cpu")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it starts, on the first use
    torch.use_deterministic_algorithms(mode=True, warn_only=chosen.type == "cuda")
    # It would fill new tensors with NaN too: 4 % of the time of training, to show who reads what nobody wrote.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # torch lists it not
    torch.backends.cudnn.benchmark = False
    keep_memory()  # training frees and maps every activation anew, and new pages cost it 10 %
    return chosen


def batches(source: Source, batch_size: int = BATCH_SIZE) -> Iterator[tuple[npt.NDArray[np.uint8], int]]:
    """All images in order, ``batch_size`` at a time, the last batch filled up with copies of the last image.

    Yields
    ------
    (batch_size, H, W) grey levels, and how many of them count.
    """
    for start in range(0, len(source), batch_size):
        count = min(batch_size, len(source) - start)
        yield source.fetch(np.minimum(np.arange(start, start + batch_size), len(source) - 1)), count


def logits(
    classifier: nn.Module, images: Source, device: torch.device, batch_size: int = BATCH_SIZE
) -> npt.NDArray[np.float32]:
    """(N, K) outputs of ``classifier`` in evaluation mode for N > 0 images (of a backbone: its features).

    The same bits whatever the number of threads, on a CPU; the network is left on ``device``, in evaluation mode.
    """
    total = math.ceil(len(images) / batch_size)
    return np.concatenate(list(progress(outputs(classifier, images, device, batch_size), total, "batches")))


def outputs(
    classifier: nn.Module, images: Source, device: torch.device, batch_size: int = BATCH_SIZE
) -> Iterator[npt.NDArray[np.float32]]:
    """As :func:`logits`, batch by batch."""
    ready(classifier, device)
    for pixels, count in ahead(batches(images, batch_size)):
        yield forward(classifier, pixels, device)[:count]


def ready(classifier: nn.Module, device: torch.device) -> None:
    """Put it on ``device``, in evaluation mode, laid out for speed: what :func:`forward` expects."""
    classifier.eval().to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def forward(classifier: nn.Module, pixels: npt.NDArray[np.uint8], device: torch.device) -> npt.NDArray[np.float32]:
    """(N, K) outputs for (N, H, W) grey levels."""
    with torch.inference_mode():
        made = classifier(to_input(torch.from_numpy(pixels).to(device)))
    outputs: npt.NDArray[np.float32] = made.float().cpu().numpy()
    return outputs
