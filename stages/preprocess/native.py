"""imagecodecs as a plugin of pydicom: it decodes single-channel streams, and pydicom knows what the values mean.

Called bare, imagecodecs knows nothing of sign, bits stored or planar configuration.
"""

from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
from pydicom import uid
from pydicom.pixels.decoders.base import DecodeRunner, get_decoder

NAME = "imagecodecs"

_JPEG = (imagecodecs.jpeg8_decode, imagecodecs.jpeg8_version)  # libjpeg-turbo: 8, 12 and 16 bits, lossy and lossless
_JPEG_LS = (imagecodecs.jpegls_decode, imagecodecs.jpegls_version)
_JPEG_2000 = (imagecodecs.jpeg2k_decode, imagecodecs.jpeg2k_version)
_HTJ2K = (imagecodecs.htj2k_decode, imagecodecs.htj2k_version)

DECODERS: dict[str, tuple[Callable[[bytes], Any], Callable[[], str]]] = {
    uid.JPEGBaseline8Bit: _JPEG,
    uid.JPEGExtended12Bit: _JPEG,
    uid.JPEGLossless: _JPEG,
    uid.JPEGLosslessSV1: _JPEG,
    uid.JPEGLSLossless: _JPEG_LS,
    uid.JPEGLSNearLossless: _JPEG_LS,
    uid.JPEG2000Lossless: _JPEG_2000,
    uid.JPEG2000: _JPEG_2000,
    uid.HTJ2KLossless: _HTJ2K,
    uid.HTJ2KLosslessRPCL: _HTJ2K,
    uid.HTJ2K: _HTJ2K,
}

DECODER_DEPENDENCIES = dict.fromkeys(DECODERS, (NAME,))
"""pydicom asks a plugin for it."""


def is_available(transfer_syntax: str) -> bool:
    """Whether it decodes a transfer syntax; pydicom asks."""
    return transfer_syntax in DECODERS


def library(transfer_syntax: str) -> str:
    """The native library and its version, as ``charls 2.4.3``."""
    return DECODERS[transfer_syntax][1]()


def decode_frame(stream: bytes, runner: DecodeRunner) -> memoryview:
    """The stored values of one frame, row by row, in the container that ``runner`` is told of."""
    image = np.asarray(DECODERS[runner.transfer_syntax][0](stream))
    if image.shape != (runner.rows, runner.columns) or image.dtype.kind not in "iu":
        raise ValueError("not one channel of Rows by Columns integers")
    runner.set_option("bits_allocated", 8 * image.dtype.itemsize)
    return np.ascontiguousarray(image).data.cast("B")


for _syntax in DECODERS:
    get_decoder(_syntax).add_plugin(NAME, (__name__, "decode_frame"))
