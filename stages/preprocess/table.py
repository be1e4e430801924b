"""From the index to work, and from results to the table of a batch's images."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from stages.artifacts import quarantine
from stages.artifacts.quarantine import Rejected
from stages.preprocess.convert import Image, Item
from stages.preprocess.rendering import Grey
from stages.runtime import UserError

_ROWS = 1000
"""Of the table, written at a time: memory does not grow with their number."""

_OWN = [name for name in Image._fields if name not in {"position", "pixels"}]


def items(index: pd.DataFrame, restricted: pd.DataFrame, root: Path) -> list[Item]:
    """The accepted files, in the order of the index."""
    paths = dict(zip(restricted["file"], restricted["path"], strict=True))
    return [
        Item(position, f"{root}/{paths[file]}", file, syntax, frames)
        for position, (file, syntax, frames) in enumerate(
            zip(index["file"], index["transfer_syntax"], index["frames"].tolist(), strict=True)
        )
    ]


@dataclass
class Made:
    """What became of the files so far; pixels are passed on, and rows of the table as soon as they are many."""

    index: pd.DataFrame
    append: Callable[[pd.DataFrame], None]
    """Takes a part of the table of the batch's images."""

    rejected: list[Rejected] = field(default_factory=list)
    images: int = 0
    _waiting: list[list[object]] = field(default_factory=list)

    def add(self, result: list[Image] | Rejected) -> list[Grey]:
        """Note one file's result, and give back its pixels."""
        if isinstance(result, Rejected):
            self.rejected.append(result)
            return []
        self._waiting += [[getattr(image, name) for name in ("position", *_OWN)] for image in result]
        if len(self._waiting) >= _ROWS:
            self.flush()
        return [image.pixels for image in result]

    def flush(self) -> None:
        """Pass on the rows that wait: the index's columns for every image, and its own."""
        own = pd.DataFrame(self._waiting, columns=["position", *_OWN])
        frame = self.index.iloc[own.pop("position").to_numpy(dtype=int)].reset_index(drop=True)
        numbered = frame["instance"] + "-" + own["frame"].astype(str)
        image = frame["instance"].where(frame["frames"] == 1, numbered)
        row = range(self.images, self.images + len(frame))
        self.append(pd.concat([frame, own], axis=1).assign(image=image, row=row))
        self.images += len(frame)
        self._waiting.clear()

    def require_images(self, batch: str) -> None:
        """Raise :class:`~stages.runtime.UserError` if no file could be used."""
        if not self.images:
            raise UserError(
                f"no usable image in batch {batch}: {quarantine.reasons(self.rejected)}: look at what these files are, "
                "or take the batch out of 'batches' in params.yaml"
            )

    def summary(self, files: int) -> str:
        """Counts, with the reasons."""
        made = f"{files} files: {self.images} images of {files - len(self.rejected)}"
        return made + (f", quarantined: {quarantine.reasons(self.rejected)}" if self.rejected else "")
