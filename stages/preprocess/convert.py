"""One DICOM file to the images that are stored of it. Runs in worker processes."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
from pydicom.uid import UID

from stages import files
from stages.artifacts.quarantine import Rejected
from stages.executor.stamp import stamp
from stages.preprocess import codecs, crop, fingerprint, geometry, rendering
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
    cropped: float


@dataclass(frozen=True)
class Converter:
    """Makes images as the ``preprocess`` section of params.yaml says."""

    section: PreprocessParams

    def __call__(self, item: Item) -> list[Image] | Rejected:
        """Every image of one file, or why there is none: a file is used whole or not at all."""
        cv2.setNumThreads(1)  # the worker processes are the parallelism
        try:
            with files.opened(item.path, self.section.limits.content) as file:
                least = self.section.size if self.section.decode == "reduced" else 0
                source = codecs.Source.of(file, item.transfer_syntax, item.frames, least)
                chosen = self.section.chosen(item.frames)
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
        return Rejected(item.file, reason, UID(item.transfer_syntax).name)

    def stamp(self, item: Item) -> tuple[int, int] | None:
        """What tells that the file has changed."""
        return stamp(Path(item.path))

    def _image(self, source: codecs.Source, item: Item, number: int, frame: codecs.Frame) -> Image:
        header = source.attributes
        attributes = rendering.of_frame(header, number)
        whole = frame.stored.shape[0] * frame.stored.shape[1]
        frame, inside = crop.to_regions(frame, header)
        choice = rendering.Choice(self.section.ct_window, self.section.window_number)
        grey, window = rendering.render(frame, attributes, choice, inside)
        if self.section.collimation == "remove" and header.get("Modality") in crop.RADIOGRAPHS:
            top, bottom, left, right = crop.collimation(grey)
            grey = grey[top:bottom, left:right]
        pixels = geometry.square(grey, self.section.size, geometry.aspect(attributes))
        return Image(
            item.position,
            pixels,
            number,
            window,
            frame.decoder,
            fingerprint.exact(pixels),
            fingerprint.perceptual(pixels),
            float(pixels.mean()),
            geometry.border(grey),
            1 - grey.size / whole,
        )
