"""From the index to work, and from results to the table of a batch's images."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from stages.artifacts.quarantine import Rejected
from stages.preprocess.convert import Image, Item
from stages.preprocess.rendering import Grey
from stages.runtime import UserError


def items(index: pd.DataFrame, restricted: pd.DataFrame, root: Path) -> list[Item]:
    """The accepted files, in the order of the index."""
    paths = dict(zip(restricted["file"], restricted["path"], strict=True))
    return [
        Item(position, root / paths[file], file, syntax, frames)
        for position, (file, syntax, frames) in enumerate(
            zip(index["file"], index["transfer_syntax"], index["frames"].tolist(), strict=True)
        )
    ]


@dataclass
class Made:
    """What became of the files so far; pixels are passed on, not kept."""

    rejected: list[Rejected] = field(default_factory=list)
    _images: list[Image] = field(default_factory=list)

    def add(self, result: list[Image] | Rejected) -> list[Grey]:
        """Note one file's result, and give back its pixels."""
        if isinstance(result, Rejected):
            self.rejected.append(result)
            return []
        self._images += [image._replace(pixels=image.pixels[:0]) for image in result]
        return [image.pixels for image in result]

    def rows(self, index: pd.DataFrame) -> pd.DataFrame:
        """``rows.parquet``: the index's columns for every image, and its own."""
        frame = index.iloc[[image.position for image in self._images]].reset_index(drop=True)
        columns = [name for name in Image._fields if name not in {"position", "pixels"}]
        own = pd.DataFrame([[getattr(image, name) for name in columns] for image in self._images], columns=columns)
        numbered = frame["instance"] + "-" + own["frame"].astype(str)
        image = frame["instance"].where(frame["frames"] == 1, numbered)
        return pd.concat([frame, own], axis=1).assign(image=image, row=range(len(frame)))

    def require_images(self, batch: str) -> None:
        """Raise :class:`~stages.runtime.UserError` if no file could be used."""
        if not self._images:
            raise UserError(
                f"no usable image in batch {batch}: {self._reasons()}: look at what these files are, or take the batch "
                "out of 'batches' in params.yaml"
            )

    def summary(self, files: int) -> str:
        """Counts, with the reasons."""
        made = f"{files} files: {len(self._images)} images of {files - len(self.rejected)}"
        return made + (f", quarantined: {self._reasons()}" if self.rejected else "")

    def _reasons(self) -> str:
        reasons = Counter(item.reason.name for item in self.rejected)
        return ", ".join(f"{count} {name}" for name, count in sorted(reasons.items()))
