"""What a compressed frame says of its own size, before anything decodes it."""

import struct

_NO_SIZE = {0xC4, 0xC8, 0xCC}  # DHT, JPG, DAC: among the numbers of the frame headers, and none (ISO 10918-1 table B.1)
_NO_LENGTH = {0x01, *range(0xD0, 0xD9)}  # TEM, RST, SOI: markers alone


def size(stream: bytes) -> tuple[int, int] | None:
    """(height, width) in pixels that a JPEG, JPEG-LS or JPEG 2000 stream claims; None where it says neither.

    From SOF (ISO 10918-1 B.2.2, ISO 14495-1 C.2.2) or SIZ (ISO 15444-1 A.5.1), the latter also within a JP2 file.
    """
    if stream[4:8] == b"jP  ":  # the signature box of JP2, which DICOM does not allow and some write
        stream = stream[max(0, stream.find(b"\xff\x4f\xff\x51")) :]
    try:
        return _jpeg_2000(stream) if stream[:4] == b"\xff\x4f\xff\x51" else _jpeg(stream)
    except (struct.error, IndexError):
        return None


def _jpeg_2000(stream: bytes) -> tuple[int, int]:
    width, height, left, top = struct.unpack_from(">4L", stream, 8)
    return height - top, width - left


def _jpeg(stream: bytes) -> tuple[int, int] | None:
    at = 2
    while stream[at] == 0xFF:  # noqa: PLR2004 - begins a marker
        marker = stream[at + 1]
        if marker == 0xFF:  # noqa: PLR2004 - a byte of filling
            at += 1
        elif marker in _NO_LENGTH:
            at += 2
        elif marker == 0xF7 or (marker & 0xF0 == 0xC0 and marker not in _NO_SIZE):  # noqa: PLR2004 - SOF55, SOF0 to 15
            height, width = struct.unpack_from(">HH", stream, at + 5)
            return (height, width) if height else None  # 0: told by a later marker (DNL), which no decoder here reads
        else:
            at += 2 + struct.unpack_from(">H", stream, at + 2)[0]
    return None
