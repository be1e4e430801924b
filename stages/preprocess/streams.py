"""What a compressed stream says of itself, before a decoder believes it.

A stream of 4 KB can claim 60,000 by 60,000 pixels and make a decoder take 7 GB; and a stream that was cut short comes
back from some decoders as an image. So its own header must say what the DICOM header says, and it must reach its end.
"""

import struct
from typing import NamedTuple

from stages.reasons import Reason, Refused

_MOST_PADDING = 32
_END_OF_IMAGE = b"\xff\xd9"  # ISO 10918-1 EOI, also of JPEG-LS (ISO 14495-1); EOC of JPEG 2000 (ISO 15444-1)
_JP2 = b"jP  "
_SOC_SIZ = b"\xff\x4f\xff\x51"
_STARTS = (b"\xff\xd8\xff", _SOC_SIZ)
_SIZ_BYTES = 42
_NO_SEGMENT = frozenset([0x01, *range(0xD0, 0xD9)])  # markers without a length: TEM, RSTn, SOI
_START_OF_FRAME = frozenset([0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7])
_START_OF_SCAN = 0xDA


class Claim(NamedTuple):
    """Of a stream's header."""

    rows: int
    columns: int
    components: int


def check(stream: bytes, expected: Claim) -> None:
    """Raise :class:`Refused` if the stream does not end (``TRUNCATED``), or is not what is ``expected``.

    One pixel would fill the image with its grey, and as many pixels in another shape would be sheared.
    """
    if not (stream.startswith(_STARTS) or stream[4:8] == _JP2):
        raise Refused(Reason.DECODE_FAILED, "not a JPEG, JPEG-LS or JPEG 2000 stream")
    if _END_OF_IMAGE not in stream[-_MOST_PADDING:] and _END_OF_IMAGE not in stream.rstrip(b"\0")[-_MOST_PADDING:]:
        raise Refused(Reason.TRUNCATED, "no end-of-image marker")
    if claim(stream) != expected:
        raise Refused(Reason.DECODE_FAILED, "the stream's size is not Rows by Columns by Samples per Pixel")


def claim(stream: bytes) -> Claim | None:
    """What a JPEG, JPEG-LS or JPEG 2000 stream claims; None where it claims nothing."""
    if stream[4:8] == _JP2:  # a file around a codestream, which DICOM does not allow and some write
        stream = stream[max(0, stream.find(_SOC_SIZ)) :]
    return _jpeg_2000(stream) if stream.startswith(_SOC_SIZ) else _jpeg(stream)


def _jpeg(stream: bytes) -> Claim | None:
    """The first frame header (ISO 10918-1 section B.2.2), of JPEG-LS too (ISO 14495-1 section C.2.2)."""
    position = 2  # after SOI
    while position + 10 <= len(stream) and stream[position] == 0xFF:  # noqa: PLR2004 - begins every marker
        marker = stream[position + 1]
        if marker in _START_OF_FRAME:
            rows, columns, components = struct.unpack_from(">HHB", stream, position + 5)
            return Claim(rows, columns, components)
        if marker == _START_OF_SCAN:
            return None
        if marker == 0xFF:  # noqa: PLR2004 - a fill byte
            position += 1
        elif marker in _NO_SEGMENT:
            position += 2
        else:
            position += 2 + struct.unpack_from(">H", stream, position + 2)[0]
    return None


def _jpeg_2000(stream: bytes) -> Claim | None:
    """The SIZ segment (ISO 15444-1 section A.5.1)."""
    if len(stream) < _SIZ_BYTES:
        return None
    right, bottom, left, top = struct.unpack_from(">4L", stream, 8)
    return Claim(bottom - top, right - left, struct.unpack_from(">H", stream, 40)[0])
