"""One DICOM file to the images that are stored of it. Runs in worker processes."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from stages import files
from stages.artifacts.quarantine import Rejected
from stages.executor.stamp import stamp
from stages.preprocess import codecs, fingerprint, geometry, rendering
from stages.preprocess.params import PreprocessParams
from stages.preprocess.rendering import Grey
from stages.reasons import Reason, Refused


class Item(NamedTuple):
    """An accepted file: its row in the index, its path, its keyed hash, and what ingest found of it."""

    position: int
    path: str
    file: str
    transfer_syntax: str
    frames: int


class Image(NamedTuple):
    """One image, and its columns of rows.parquet that do not come from the index."""

    position: int
    pixels: Grey
    frame: int
    window: str
    decoder: str
    pixel_sha256: str
    perceptual_hash: str
    mean: float
    border: float


@dataclass(frozen=True)
class Converter:
    """Makes images as the ``preprocess`` section of params.yaml says."""

    section: PreprocessParams

    def __call__(self, item: Item) -> list[Image] | Rejected:
        """Every image of one file, or why there is none: a file is used whole or not at all."""
        cv2.setNumThreads(1)  # the worker processes are the parallelism
        try:
            with files.opened(item.path, self.section.limits.content) as file:
                source = codecs.Source.of(file, item.transfer_syntax, item.frames)
                chosen = spaced(item.frames, self.section.max_frames)
                decoded = zip(chosen, source.frames(chosen), strict=True)
                return [self._image(source, item, number, frame) for number, frame in decoded]
        except Refused as refused:
            return Rejected(item.file, refused.reason, refused.detail)
        except MemoryError:
            return Rejected(item.file, Reason.TOO_LARGE)
        except Exception as error:  # noqa: BLE001 - damaged files raise errors of every kind
            return Rejected(item.file, Reason.DECODE_FAILED, type(error).__name__)

    def lost(self, item: Item, reason: Reason) -> Rejected:
        """The result for a file that ended its process."""
        return Rejected(item.file, reason, codecs.codec(item.transfer_syntax).package)

    def stamp(self, item: Item) -> tuple[int, int] | None:
        """What tells that the file has changed."""
        return stamp(Path(item.path))

    def _image(self, source: codecs.Source, item: Item, number: int, frame: codecs.Frame) -> Image:
        attributes = rendering.of_frame(source.attributes, number)
        grey, window = rendering.render(frame.stored, frame.photometric, attributes)
        pixels = geometry.square(grey, self.section.size)
        return Image(
            item.position,
            pixels,
            number,
            window.value,
            source.decoder,
            fingerprint.exact(pixels),
            fingerprint.perceptual(pixels),
            float(pixels.mean()),
            geometry.border(grey),
        )


def spaced(frames: int, most: int) -> list[int]:
    """``most`` of ``frames`` frame numbers, evenly spaced from first to last; all of them if there are no more."""
    if frames <= most:
        return list(range(frames))
    return [int(number) for number in np.rint(np.linspace(0, frames - 1, most))]
