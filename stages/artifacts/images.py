"""``data/images/<batch>/``: ``pixels.npy`` (N, H, W) uint8, ``rows.parquet`` one row per image, ``quarantine.csv``.

One array per batch, mapped into memory: training reads it without decoding, and DVC sees three files, not thousands.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from stages.artifacts import index, tables
from stages.runtime import UserError

SCHEMA = pa.schema(
    [
        ("image", pa.string()),  # the instance, and its frame where there are several: "<instance>" or "<instance>-3"
        ("row", pa.int64()),  # in pixels.npy
        ("frame", pa.int32()),  # from 0
        *index.SCHEMA,
        ("window", pa.string()),  # what set the grey levels: "lut", "window", "percentile", "colour" or a CT window
        ("decoder", pa.string()),  # the library that decoded it, with its version
        ("pixel_sha256", pa.string()),  # of the image as stored in pixels.npy
        ("perceptual_hash", pa.string()),  # 256 bits as hexadecimal: equal for images that look the same
        ("mean", pa.float32()),  # grey level, 0 to 255
        ("border", pa.float32()),  # fraction of the original image that is a uniform border, 0 to 1
        ("cropped", pa.float32()),  # fraction of the original image cut off: outside ultrasound's regions, collimation
    ]
)

Pixels = npt.NDArray[np.uint8]


def directory(batch: str) -> Path:
    """Where a batch's images lie."""
    return Path("data/images") / batch


def quarantine_path(batch: str) -> Path:
    """Where preprocess says which files it could not use."""
    return directory(batch) / "quarantine.csv"


def rows(batch: str) -> pd.DataFrame:
    """The table of a batch's images, in the order of its pixels."""
    return tables.read(directory(batch) / "rows.parquet", SCHEMA)


class Writer:
    """Writes ``pixels.npy`` image by image: memory does not grow with their number, which is known only at the end."""

    def __init__(self, directory: Path, size: int) -> None:
        self._file: BinaryIO = (directory / "pixels.npy").open("wb")
        self._size = size
        self._count = 0
        self._header()

    def append(self, images: Iterable[Pixels]) -> None:
        """Add (size, size) images."""
        for image in images:
            if image.shape != (self._size, self._size) or image.dtype != np.uint8:
                raise ValueError(f"an image is {image.dtype} {image.shape}, not uint8 of {self._size} pixels")
            self._file.write(image.tobytes())
            self._count += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.seek(0)
        self._header()  # of the same length: numpy leaves room for the number of rows to grow
        self._file.close()

    def _header(self) -> None:
        shape = (self._count, self._size, self._size)
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)


def rows_writer(directory: Path) -> AbstractContextManager[Callable[[pd.DataFrame], None]]:
    """What takes the table beside the pixels, part by part (``directory`` is still a temporary one)."""
    return tables.writer(directory / "rows.parquet", SCHEMA)


def pixels(batch: str) -> Pixels:
    """(N, H, W) grey levels, mapped and read-only.

    Raises
    ------
    UserError
        If the file is missing.
    """
    path = directory(batch) / "pixels.npy"
    try:
        array: Pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{path} is not here: run 'dvc repro', or 'dvc pull' to fetch it") from None
    return array
