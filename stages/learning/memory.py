"""A GPU's memory is a limit that the user can do something about."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from stages.runtime import UserError


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Raise :class:`UserError` where a GPU's memory does not suffice; ``what`` has the batch size that is too large."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise UserError(
            f"the GPU has too little memory: lower this {what}'s batch_size, or set RADREPRO_DEVICE=cpu"
        ) from None
