"""Decode at a half, a quarter or an eighth of each side: some streams hold smaller pictures within the full one.

JPEG 2000 and HTJ2K do in their wavelet levels (ISO 15444-1 annex F), baseline JPEG in the low frequencies of each block
(libjpeg's scaled cosine transform). The values are those of a low-pass filter, near the mean over the area; at edges
they differ, and a wavelet's lie around the even rows and columns, up to half a pixel of the smaller picture beside the
middle of the area. Streams of one component only. A plugin of pydicom, as :mod:`stages.preprocess.native` is.
"""

import struct
from importlib.metadata import version
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom import uid
from pydicom.pixels.decoders.base import DecodeRunner, get_decoder

from stages.preprocess import native

NAME = "reduced"
OPTION = "reduced_by"
"""How the plugin is told by which power of two."""

_MOST = 3
_PILLOW = frozenset([uid.JPEGBaseline8Bit, uid.JPEG2000Lossless, uid.JPEG2000])
_OPENJPH = frozenset([uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K])
_SOC_SIZ = b"\xff\x4f\xff\x51"
_COD, _START_OF_TILE = 0xFF52, 0xFF90

DECODER_DEPENDENCIES = dict.fromkeys(_PILLOW | _OPENJPH, (NAME,))
"""pydicom asks a plugin for it."""


def is_available(transfer_syntax: str) -> bool:
    """Whether it decodes a transfer syntax; pydicom asks."""
    return transfer_syntax in DECODER_DEPENDENCIES


def name(transfer_syntax: str, power: int) -> str:
    """What is recorded with an image: the library, and the fraction of each side."""
    if transfer_syntax in _OPENJPH:
        library = f"imagecodecs {version('imagecodecs')} ({native.library(transfer_syntax)})"
    else:
        library = f"pillow {version('pillow')}"
    return f"{library} at 1/{2**power}"


def power(transfer_syntax: str, stream: bytes, shape: tuple[int, int], size: int) -> int:
    """The largest of 0 to 3 by whose power of two ``shape`` may be divided and have ``size`` pixels on its longer side.

    0, which is a full decode, for what holds no smaller picture that can be read.
    """
    most = min(_MOST, _levels(transfer_syntax, stream))
    fit = (each for each in range(most, 0, -1) if max(sides(shape, each)) >= size and _readable(shape, each))
    return next(fit, 0)


def sides(shape: tuple[int, int], by: int) -> tuple[int, int]:
    """Rows and columns of the smaller picture."""
    rows, columns = (-(-side // 2**by) for side in shape)
    return rows, columns


def _readable(shape: tuple[int, int], by: int) -> bool:
    """Whether Pillow, which rounds sides where ISO 15444-1 equation B-15 rounds them up, expects the right number."""
    return tuple((side + 2**by // 2) // 2**by for side in shape) == sides(shape, by)


def _levels(transfer_syntax: str, stream: bytes) -> int:
    """How often the sides can be halved; 0 where it is not known, or not simple."""
    if transfer_syntax == uid.JPEGBaseline8Bit:
        return _MOST
    if transfer_syntax not in DECODER_DEPENDENCIES or not stream.startswith(_SOC_SIZ):
        return 0
    left, top = struct.unpack_from(">2L", stream, 16)
    if left or top or stream[43:45] != b"\1\1":  # an offset, or subsampling: other sides than those of `sides`
        return 0
    position = 2
    while position + 10 <= len(stream):  # segments of the main header, ISO 15444-1 annex A
        marker, length = struct.unpack_from(">2H", stream, position)
        if marker == _COD:
            return stream[position + 9]
        if marker == _START_OF_TILE:
            return 0
        position += 2 + length
    return 0


def decode_frame(stream: bytes, runner: DecodeRunner) -> memoryview:
    """The values of one frame's smaller picture, row by row, in the container that ``runner`` is told of."""
    by = int(runner.get_option(OPTION))
    if runner.transfer_syntax in _OPENJPH:
        image = np.asarray(imagecodecs.htj2k_decode(stream, skipres=by))
    else:
        image = _by_pillow(stream, by)
    if image.shape != (runner.rows, runner.columns) or image.dtype.kind not in "iu":
        raise ValueError("not one channel of the expected size")
    runner.set_option("bits_allocated", 8 * image.dtype.itemsize)
    return np.ascontiguousarray(image).data.cast("B")


def _by_pillow(stream: bytes, by: int) -> npt.NDArray[np.integer[Any]]:
    image: Any = Image.open(BytesIO(stream), formats=("JPEG", "JPEG2000"))
    if image.format == "JPEG":
        image.draft("L", tuple(side >> by for side in image.size))  # it takes the largest fraction that is no less
        return np.array(image)
    image.reduce = by
    image.load()
    values = np.array(image)
    if values.dtype.kind != "u":
        raise ValueError("not one channel of up to 16 bits")
    # Pillow scales to 8 or 16 bits, and shifts signed values to unsigned ones: both are undone (its Jpeg2KDecode.c)
    signed, precision = stream[42] >> 7, (stream[42] & 0x7F) + 1
    bits = 8 * values.itemsize
    if signed:
        values = (values ^ values.dtype.type(1 << (bits - 1))).view(f"i{values.itemsize}")
    shifted: npt.NDArray[np.integer[Any]] = values >> (bits - precision)
    return shifted


for _syntax in DECODER_DEPENDENCIES:
    get_decoder(_syntax).add_plugin(NAME, (__name__, "decode_frame"))
