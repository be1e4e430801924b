"""The finished chunks of a stage, kept until all are: a stage that was killed goes on from them."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages import runtime
from stages.executor import code
from stages.executor.work import Work
from stages.runtime import UNFINISHED


class Journal:
    """The chunks of one stage, in its :func:`stages.runtime.work`, each named by all that decides its results."""

    def __init__(self, name: str, work: Work[Any, Any]) -> None:
        self._folder = runtime.work(name).resolve()
        self._folder.mkdir(parents=True, exist_ok=True)
        for left in self._folder.glob(f"{UNFINISHED}*"):  # by a killed process
            left.unlink()
        self._start = hashlib.sha256(f"{code.fingerprint()}\n{work.parameters}\n{work.limits!r}\n".encode())
        self._stamp = work.stamp

    def path(self, items: Sequence[Any]) -> Path:
        """Where the results of these items are, or will be."""
        digest = self._start.copy()
        for item in items:
            digest.update(f"{item!r}\0{self._stamp(item)!r}\0".encode("utf-8", "surrogateescape"))
        return self._folder / digest.hexdigest()
