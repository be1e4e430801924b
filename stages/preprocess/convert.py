"""One DICOM file to the images that are stored of it. Runs in worker processes."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset

from stages.artifacts.quarantine import Rejected
from stages.executor.stamp import stamp
from stages.preprocess import codecs, fingerprint, geometry, rendering
from stages.preprocess.rendering import Grey
from stages.reasons import Reason, Refused


class Item(NamedTuple):
    """An accepted file: its row in the index, its path, its keyed hash, and what ingest found of it."""

    position: int
    path: Path
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
    """Makes images of ``size`` by ``size`` pixels, at most ``max_frames`` of a file."""

    size: int
    max_frames: int

    def __call__(self, item: Item) -> list[Image] | Rejected:
        """Every image of one file, or why there is none: a file is used whole or not at all."""
        cv2.setNumThreads(1)  # the worker processes are the parallelism
        try:
            dataset = _read(item)
            return [self._image(dataset, item, frame) for frame in spaced(item.frames, self.max_frames)]
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
        return stamp(item.path)

    def _image(self, dataset: Dataset, item: Item, index: int) -> Image:
        decoded = codecs.decode(dataset, item.transfer_syntax, index, item.frames)
        grey, source = rendering.render(decoded.stored, decoded.photometric, rendering.of_frame(dataset, index))
        pixels = geometry.square(grey, self.size)
        return Image(
            item.position,
            pixels,
            index,
            source.value,
            codecs.name(codecs.codec(item.transfer_syntax).package),
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


def _read(item: Item) -> Dataset:
    try:
        dataset = dcmread(item.path, force=True)
    except Exception as error:  # noqa: BLE001 - as above
        raise Refused(Reason.UNREADABLE, type(error).__name__) from None
    if "PixelData" not in dataset:
        raise Refused(Reason.TRUNCATED)
    return dataset
