"""Where training stood, kept outside DVC's outputs (DVC deletes those first): killed training goes on from there."""

import hashlib
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from stages import runtime
from stages.executor import code
from stages.executor.stamp import stamp
from stages.runtime import atomic_file

_SHARE = 0.02  # of the time that may go into saving


class Progress:
    """The state of one training, in the stage's :func:`stages.runtime.work`.

    Parameters
    ----------
    name
        Of the stage, such as ``finetune@scratch``.
    settings
        All that decides the result besides code and files, as text.
    files
        What is read: another size or time of change makes a state useless, and it is not taken up.
    """

    def __init__(self, name: str, settings: str, files: Iterable[Path]) -> None:
        parts = [code.fingerprint(), settings, *(f"{path} {stamp(path)}" for path in files)]
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        self._path = runtime.work(name) / f"{digest}.pt"
        self._free_from = 0.0

    def load(self) -> dict[str, Any] | None:
        """What :meth:`save` last wrote of the same training, on the CPU; None if there is nothing."""
        if not self._path.exists():
            return None
        state: dict[str, Any] = torch.load(self._path, map_location="cpu", weights_only=True)
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Keep ``state`` (tensors, numbers, text, lists and dictionaries) in the place of what was kept before.

        Left out where saving takes more than a fiftieth of the time: then a little more is done again.
        """
        started = time.monotonic()
        if started < self._free_from:
            return
        with atomic_file(self._path) as beside:
            torch.save(state, beside)
        took = time.monotonic() - started
        self._free_from = started + took / _SHARE
