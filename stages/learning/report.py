"""Epochs told as they end, a line of JSON each, to whoever watches a training from outside and may end it early."""

import json
from collections.abc import Callable
from pathlib import Path

from stages.artifacts.model import Epoch

OnEpoch = Callable[[Epoch], None]


def into(path: str, on_epoch: OnEpoch) -> OnEpoch:
    """What to call after every epoch: it adds a line to the file ``path`` and calls ``on_epoch``.

    With no path (``""``) it is ``on_epoch``. Each line is there whole or not at all: the reader sees it when it ends.
    """
    if not path:
        return on_epoch
    file = Path(path)

    def told(epoch: Epoch) -> None:
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(epoch) + "\n")
        on_epoch(epoch)

    return told


class Reader:
    """Reads what :func:`into` writes, while it writes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def new(self) -> list[Epoch]:
        """The epochs that ended since the last call."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                lines = file.read()
        except FileNotFoundError:
            return []
        whole = lines[: lines.rfind(b"\n") + 1]
        self._read += len(whole)
        return [json.loads(line) for line in whole.splitlines()]
