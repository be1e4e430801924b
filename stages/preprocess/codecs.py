"""Which library decodes which transfer syntax: exactly one each, and no other steps in when it fails.

A JPEG lossless stream cut at 60 % fails in one library and comes back from another as an image with 40 % of its rows
wrong, without a warning: so a failure is a failure, and a stream must reach its end (:mod:`stages.preprocess.streams`).
Why each was chosen: docs/decoders.md.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from io import BytesIO
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
from pydicom import dcmread, uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames, get_frame
from pydicom.filereader import read_partial
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import as_pixel_options

from stages.preprocess import native, reduced, streams
from stages.reasons import Reason, Refused

_PIXEL_DATA = 0x7FE00010
_UNDEFINED = 0xFFFFFFFF
_PRECISE = frozenset(uid.JPEG2000TransferSyntaxes)
_PRECISE_IF_SIGNED = frozenset(uid.JPEGLSTransferSyntaxes)


class Codec(NamedTuple):
    """How pydicom names a decoder, and the package that holds it."""

    plugin: str
    package: str


_PYDICOM = Codec("", "pydicom")
_IMAGECODECS = Codec(native.NAME, "imagecodecs")
_LIBJPEG = Codec("pylibjpeg", "pylibjpeg-libjpeg")
_OPENJPEG = Codec("pylibjpeg", "pylibjpeg-openjpeg")
_RLE = Codec("pylibjpeg", "pylibjpeg-rle")
_PYJPEGLS = Codec("pyjpegls", "pyjpegls")
_PILLOW = Codec("pillow", "pillow")

CODECS: dict[str, tuple[Codec, Codec]] = {  # of one sample a pixel, and of three
    uid.ImplicitVRLittleEndian: (_PYDICOM, _PYDICOM),
    uid.ExplicitVRLittleEndian: (_PYDICOM, _PYDICOM),
    uid.DeflatedExplicitVRLittleEndian: (_PYDICOM, _PYDICOM),
    uid.ExplicitVRBigEndian: (_PYDICOM, _PYDICOM),
    uid.RLELossless: (_RLE, _RLE),
    uid.JPEGBaseline8Bit: (_IMAGECODECS, _PILLOW),
    uid.JPEGExtended12Bit: (_IMAGECODECS, _LIBJPEG),
    uid.JPEGLossless: (_IMAGECODECS, _LIBJPEG),
    uid.JPEGLosslessSV1: (_IMAGECODECS, _LIBJPEG),
    uid.JPEGLSLossless: (_IMAGECODECS, _PYJPEGLS),
    uid.JPEGLSNearLossless: (_IMAGECODECS, _PYJPEGLS),
    uid.JPEG2000Lossless: (_IMAGECODECS, _OPENJPEG),
    uid.JPEG2000: (_IMAGECODECS, _OPENJPEG),
    uid.HTJ2KLossless: (_IMAGECODECS, _OPENJPEG),
    uid.HTJ2KLosslessRPCL: (_IMAGECODECS, _OPENJPEG),
    uid.HTJ2K: (_IMAGECODECS, _OPENJPEG),
}


class Frame(NamedTuple):
    """One decoded frame.

    Attributes
    ----------
    stored
        (H, W) as stored, or (H, W, 3) where ``photometric`` is RGB.
    photometric
        Of ``stored``: decoders turn YBR into RGB.
    unused
        High bits of each of ``stored`` that mean nothing (PS3.5 section 8.1.1; an overlay of old may lie there).
    decoder
        Package and version; with the scale, if the image is smaller than its header says.
    """

    stored: npt.NDArray[np.integer]
    photometric: str
    unused: int = 0
    decoder: str = ""

    @property
    def values(self) -> npt.NDArray[np.integer]:
        """``stored`` without its unused bits, with its sign."""
        return without_unused(self.stored, self.unused)


def without_unused(stored: npt.NDArray[np.integer], unused: int) -> npt.NDArray[np.integer]:
    """The values, when the high bits that mean nothing are replaced by the sign, or by 0."""
    return np.right_shift(np.left_shift(stored, unused), unused) if unused else stored


def codec(transfer_syntax: str, samples: int = 1) -> Codec:
    """The one decoder of a transfer syntax. Raises :class:`Refused` with ``UNSUPPORTED`` if there is none."""
    if transfer_syntax not in CODECS:
        raise Refused(Reason.UNSUPPORTED, f"transfer syntax {uid.UID(transfer_syntax).name}")
    return CODECS[transfer_syntax][samples > 1]


@cache
def name(transfer_syntax: str, samples: int = 1) -> str:
    """The decoder's package and version, and the native library that it holds, as recorded with every image."""
    used = codec(transfer_syntax, samples)
    inner = f" ({native.library(transfer_syntax)})" if used == _IMAGECODECS else ""
    return f"{used.package} {version(used.package)}{inner}"


@dataclass(frozen=True)
class Source:
    """An image's frames, read from its file as they are asked for: a cine's memory is that of a frame.

    Attributes
    ----------
    attributes
        Everything that stands before the pixel data.
    decoder
        Package and version.
    size
        Pixels that the longer side of a frame must have at least, to decode no more than that; 0 to decode it whole.
    """

    attributes: Dataset
    decoder: str
    size: int
    _codec: Codec
    _syntax: str
    _pixels: BinaryIO
    _start: int
    _vr: str
    _frames: int

    @classmethod
    def of(cls, file: BinaryIO, transfer_syntax: str, frames: int, size: int = 0) -> "Source":
        """From an open file of ``frames`` frames, which are decoded whole, or to ``size`` pixels at least.

        Raises
        ------
        Refused
            With ``UNSUPPORTED``, ``UNREADABLE`` or ``TRUNCATED``.
        """
        try:
            if transfer_syntax == uid.DeflatedExplicitVRLittleEndian:
                return cls._whole(dcmread(file, force=True), transfer_syntax, frames, size)
            found: list[tuple[int, str, int]] = []

            def stop(tag: int, vr: str | None, length: int) -> bool:
                if tag == _PIXEL_DATA:
                    found.append((file.tell(), vr or "OW", length))  # implicit VR means OW
                return bool(found)

            attributes = read_partial(file, stop_when=stop, force=True)
        except (Refused, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - damaged files raise errors of every kind
            raise Refused(Reason.UNREADABLE, type(error).__name__) from None
        if not found:
            raise Refused(Reason.TRUNCATED)
        start, vr, length = found[0]
        if (length == _UNDEFINED) != uid.UID(transfer_syntax).is_encapsulated:  # fragments' headers would be pixels
            raise Refused(Reason.DECODE_FAILED, "fragments, or none, against what the transfer syntax says")
        return cls._made(attributes, transfer_syntax, frames, size, file, start, vr)

    @classmethod
    def _whole(cls, dataset: Dataset, transfer_syntax: str, frames: int, size: int) -> "Source":
        if "PixelData" not in dataset:
            raise Refused(Reason.TRUNCATED)
        element = dataset["PixelData"]
        return cls._made(dataset, transfer_syntax, frames, size, BytesIO(element.value), 0, element.VR)

    @classmethod
    def _made(
        cls, attributes: Dataset, transfer_syntax: str, frames: int, size: int, pixels: BinaryIO, start: int, vr: str
    ) -> "Source":
        samples = int(attributes.get("SamplesPerPixel") or 1)
        used = codec(transfer_syntax, samples)
        if attributes.get("HighBit", 0) >= attributes.BitsStored < attributes.BitsAllocated:  # ACR-NEMA allowed it
            raise Refused(Reason.UNSUPPORTED, "values in the high bits")
        return cls(attributes, name(transfer_syntax, samples), size, used, transfer_syntax, pixels, start, vr, frames)

    def frames(self, wanted: Sequence[int]) -> Iterator[Frame]:
        """The frames of these numbers, which ascend.

        Raises
        ------
        Refused
            With ``TRUNCATED``, ``UNSUPPORTED`` or ``DECODE_FAILED``.
        """
        try:
            if uid.UID(self._syntax).is_encapsulated:
                yield from map(self._decoded, self._streams(wanted))
            else:
                yield from map(self._native, wanted)
        except (Refused, MemoryError, GeneratorExit, KeyboardInterrupt, SystemExit):
            raise
        except NotImplementedError:
            raise Refused(Reason.UNSUPPORTED, "pixel format") from None
        except BaseException as error:  # noqa: BLE001 - errors of every kind; a Rust panic is no Exception
            raise Refused(Reason.DECODE_FAILED, type(error).__name__) from None

    def _streams(self, wanted: Sequence[int]) -> Iterator[bytes]:
        """Each frame's stream: alone, or in one pass over all of them where most are wanted."""
        self._pixels.seek(self._start)
        offsets = self._options().get("extended_offsets")
        if 2 * len(wanted) >= self._frames:
            chosen = set(wanted)
            every = generate_frames(self._pixels, number_of_frames=self._frames, extended_offsets=offsets)
            for number, stream in zip(range(self._frames), every, strict=False):  # one too many is not looked at
                if number in chosen:
                    chosen.remove(number)
                    yield stream
            if chosen:
                raise Refused(Reason.TRUNCATED, "fewer frames than Number of Frames says")
            return
        for number in wanted:
            yield get_frame(self._pixels, number, number_of_frames=self._frames, extended_offsets=offsets)

    def _decoded(self, stream: bytes) -> Frame:
        header = self.attributes
        shape, samples = (int(header.Rows), int(header.Columns)), int(header.get("SamplesPerPixel") or 1)
        if self._syntax != uid.RLELossless:
            streams.check(stream, streams.Claim(*shape, samples))
        options = self._options() | {"number_of_frames": 1}
        options.pop("extended_offsets", None)
        alone = encapsulate([stream], has_bot=False)
        if self.size and samples == 1 and (power := reduced.power(self._syntax, stream, shape, self.size)):
            options |= dict(zip(("rows", "columns"), reduced.sides(shape, power), strict=True))
            options |= {reduced.OPTION: power, "decoding_plugin": reduced.NAME}
            return self._frame(alone, 0, options)._replace(decoder=reduced.name(self._syntax, power))
        return self._frame(alone, 0, options)

    def _native(self, number: int) -> Frame:
        if self.attributes.BitsAllocated == 1:
            return self._bits(number)
        self._pixels.seek(self._start)
        return self._frame(self._pixels, number, self._options() | {"view_only": True})

    def _bits(self, number: int) -> Frame:
        """Eight pixels to a byte (PS3.5 section 8.1.1); pydicom loses the end of a frame that begins within one."""
        header = self.attributes
        swapped = self._syntax == uid.ExplicitVRBigEndian and self._vr == "OW"
        if swapped or (header.get("SamplesPerPixel") or 1) > 1:
            raise NotImplementedError
        pixels = header.Rows * header.Columns
        first, offset = divmod(number * pixels, 8)
        self._pixels.seek(self._start + first)
        content = np.frombuffer(self._pixels.read(-(-(offset + pixels) // 8)), np.uint8)
        bits = np.unpackbits(content, bitorder="little")[offset : offset + pixels]
        shaped = bits.reshape(header.Rows, header.Columns)
        return Frame(shaped, str(header.PhotometricInterpretation), decoder=self.decoder)

    def _frame(self, pixels: BinaryIO | bytes, number: int, options: dict[str, Any]) -> Frame:
        grey = options.get("samples_per_pixel", 1) == 1
        options["correct_unused_bits"] = not grey
        options.setdefault("decoding_plugin", self._codec.plugin)
        stored, properties = get_decoder(self._syntax).as_array(pixels, index=number, **options)
        # pydicom's correction is three passes over the image; a table of values does it in none. JPEG 2000 and signed
        # JPEG-LS streams know their own precision, and pydicom has seen to it.
        precise = self._syntax in _PRECISE or (self._syntax in _PRECISE_IF_SIGNED and stored.dtype.kind == "i")
        unused = 8 * stored.dtype.itemsize - int(options["bits_stored"]) if grey and not precise else 0
        return Frame(stored, str(properties["photometric_interpretation"]), max(unused, 0), self.decoder)

    def _options(self) -> dict[str, Any]:
        told = {"number_of_frames": self._frames, "pixel_keyword": "PixelData", "pixel_vr": self._vr}
        return {**as_pixel_options(self.attributes), **told}
