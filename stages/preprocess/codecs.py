"""Which library decodes which transfer syntax: exactly one each, and no other steps in when it fails.

A JPEG lossless stream cut at 60 % fails in one library and comes back from another as an image with 40 % of its rows
wrong, without a warning: so a failure is a failure, and a stream must reach its end-of-image marker.
"""

from dataclasses import dataclass
from functools import cache
from importlib.metadata import version

import numpy as np
import numpy.typing as npt
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder

from stages.preprocess import stream
from stages.reasons import Reason, Refused


@dataclass(frozen=True)
class Codec:
    """How pydicom names a decoder, and the package that holds it."""

    plugin: str
    package: str
    marker: bytes = b""
    """What a frame's stream ends with."""


_END_OF_IMAGE = b"\xff\xd9"  # ISO 10918-1 EOI, also of JPEG-LS (ISO 14495-1); EOC of JPEG 2000 (ISO 15444-1)
_MOST_PADDING = 32

_NATIVE = Codec("", "pydicom")
_JPEG = Codec("pylibjpeg", "pylibjpeg-libjpeg", _END_OF_IMAGE)
_JPEG_LS = Codec("pyjpegls", "pyjpegls", _END_OF_IMAGE)
_JPEG_2000 = Codec("pylibjpeg", "pylibjpeg-openjpeg", _END_OF_IMAGE)

CODECS: dict[str, Codec] = {
    uid.ImplicitVRLittleEndian: _NATIVE,
    uid.ExplicitVRLittleEndian: _NATIVE,
    uid.DeflatedExplicitVRLittleEndian: _NATIVE,
    uid.ExplicitVRBigEndian: _NATIVE,
    uid.RLELossless: Codec("pylibjpeg", "pylibjpeg-rle"),
    uid.JPEGBaseline8Bit: Codec("pillow", "pillow", _END_OF_IMAGE),
    uid.JPEGExtended12Bit: _JPEG,
    uid.JPEGLossless: _JPEG,
    uid.JPEGLosslessSV1: _JPEG,
    uid.JPEGLSLossless: _JPEG_LS,
    uid.JPEGLSNearLossless: _JPEG_LS,
    uid.JPEG2000Lossless: _JPEG_2000,
    uid.JPEG2000: _JPEG_2000,
    uid.HTJ2KLossless: _JPEG_2000,
    uid.HTJ2KLosslessRPCL: _JPEG_2000,
    uid.HTJ2K: _JPEG_2000,
}


@dataclass(frozen=True)
class Frame:
    """One decoded frame.

    Attributes
    ----------
    stored
        (H, W) stored values, or (H, W, 3) where ``photometric`` is RGB.
    photometric
        Of ``stored``: decoders turn YBR into RGB.
    """

    stored: npt.NDArray[np.integer]
    photometric: str


def codec(transfer_syntax: str) -> Codec:
    """The one decoder of a transfer syntax. Raises :class:`Refused` with ``UNSUPPORTED`` if there is none."""
    if transfer_syntax not in CODECS:
        raise Refused(Reason.UNSUPPORTED, f"transfer syntax {uid.UID(transfer_syntax).name}")
    return CODECS[transfer_syntax]


@cache
def name(package: str) -> str:
    """The package and its version, as recorded with every image."""
    return f"{package} {version(package)}"


def decode(dataset: Dataset, transfer_syntax: str, index: int, frames: int) -> Frame:
    """Frame ``index`` of ``frames``.

    Raises
    ------
    Refused
        With ``TRUNCATED``, ``UNSUPPORTED`` or ``DECODE_FAILED``.
    """
    used = codec(transfer_syntax)
    try:
        if used.marker:
            frame = get_frame(dataset.PixelData, index, number_of_frames=frames)
            _check_end(frame, used.marker)
            _check_size(frame, dataset)
        stored, properties = get_decoder(transfer_syntax).as_array(dataset, index=index, decoding_plugin=used.plugin)
    except (Refused, MemoryError, KeyboardInterrupt, SystemExit):
        raise
    except NotImplementedError:
        raise Refused(Reason.UNSUPPORTED, "pixel format") from None
    except BaseException as error:  # noqa: BLE001 - damaged streams raise errors of every kind; a Rust panic is no Exception
        raise Refused(Reason.DECODE_FAILED, type(error).__name__) from None
    return Frame(stored, str(properties["photometric_interpretation"]))


def _check_end(frame: bytes, marker: bytes) -> None:
    if marker not in frame[-_MOST_PADDING:]:
        raise Refused(Reason.TRUNCATED, "no end-of-image marker")


def _check_size(frame: bytes, dataset: Dataset) -> None:
    """A frame of one pixel would fill an image of any size with its grey, and pydicom reshapes what has as many."""
    if stream.size(frame) != (dataset.Rows, dataset.Columns):
        raise Refused(Reason.DECODE_FAILED, "the stream is of another size than Rows and Columns say")
