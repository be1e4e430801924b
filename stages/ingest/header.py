"""Read a DICOM file's header, and tell whether its pixel data is there whole, without reading the pixel data.

pydicom gives a file that was cut short as a dataset without pixel data, and says nothing (it reads on where it can).
Here the length that the pixel data claims is compared with the file's.
"""

import struct
from dataclasses import dataclass
from typing import BinaryIO

from pydicom.dataset import Dataset
from pydicom.filereader import read_partial
from pydicom.pixels.utils import get_expected_length
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from stages.reasons import Reason, Refused

_PIXEL_DATA = 0x7FE00010
_FLOAT_PIXEL_DATA = (0x7FE00008, 0x7FE00009)
_UNDEFINED = 0xFFFFFFFF
_ITEM, _DELIMITER = 0xE000, 0xE0DD
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00", b"\x00\x08")  # file meta, identification in little and in big endian


@dataclass(frozen=True)
class _Element:
    """The last top-level element that was begun: where its value starts, and the length that it claims."""

    tag: int
    start: int
    length: int


def read(file: BinaryIO, size: int) -> Dataset:
    """The header of a DICOM image, its ``file_meta.TransferSyntaxUID`` set even where the file has none.

    Parameters
    ----------
    file
        Open at its start.
    size
        Its length in bytes.

    Raises
    ------
    Refused
        With ``NOT_DICOM``, ``UNREADABLE``, ``NO_PIXEL_DATA``, ``TRUNCATED`` or ``UNSUPPORTED``.
    """
    start = file.read(132)
    file.seek(0)
    part10 = start[128:] == b"DICM"
    if not part10 and start[:2] not in _FIRST_GROUPS:
        raise Refused(Reason.NOT_DICOM)
    try:
        header, last = _parse(file)
        image = all(keyword in header for keyword in ("Rows", "Columns", "BitsAllocated"))
    except Exception as error:  # noqa: BLE001 - damaged files raise errors of every kind
        raise Refused(Reason.UNREADABLE if part10 else Reason.NOT_DICOM, type(error).__name__) from None
    if not part10 and not (image and last.tag == _PIXEL_DATA):  # a file without preamble must show that it is an image
        raise Refused(Reason.NOT_DICOM)
    try:
        header.file_meta.TransferSyntaxUID = syntax = _transfer_syntax(header)
        _check_pixel_data(file, size, header, last, syntax)
    except Refused:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        raise Refused(Reason.UNREADABLE, type(error).__name__) from None
    return header


def _parse(file: BinaryIO) -> tuple[Dataset, _Element]:
    last = _Element(0, 0, 0)

    def stop(tag: int, _: str | None, length: int) -> bool:
        nonlocal last
        last = _Element(int(tag), file.tell(), length)
        return last.tag == _PIXEL_DATA or last.tag in _FLOAT_PIXEL_DATA

    return read_partial(file, stop_when=stop, force=True), last


def _transfer_syntax(header: Dataset) -> UID:
    stated = header.file_meta.get("TransferSyntaxUID")
    if stated is None:  # then what pydicom found out from the first elements
        implicit, little = header.original_encoding
        return ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    syntax = UID(stated)
    if syntax.is_private or not syntax.is_transfer_syntax:
        raise Refused(Reason.UNSUPPORTED, "unknown transfer syntax")
    return syntax


def _check_pixel_data(file: BinaryIO, size: int, header: Dataset, last: _Element, syntax: UID) -> None:
    deflated = syntax == DeflatedExplicitVRLittleEndian  # zlib checked its end; positions are not the file's
    if last.tag in _FLOAT_PIXEL_DATA:
        raise Refused(Reason.UNSUPPORTED, "floating-point pixels")
    if last.tag != _PIXEL_DATA:
        whole = deflated or _ends_well(file, size, last)
        raise Refused(Reason.NO_PIXEL_DATA if whole else Reason.TRUNCATED)
    if last.length == 0:
        raise Refused(Reason.NO_PIXEL_DATA, "empty")
    if not (header.Rows and header.Columns):
        raise Refused(Reason.UNREADABLE, "no Rows or no Columns")
    if last.length == _UNDEFINED:
        _check_fragments(file, size, last.start)
    elif not deflated and last.start + last.length > size:
        raise Refused(Reason.TRUNCATED)
    elif not syntax.is_encapsulated and last.length < get_expected_length(header):
        raise Refused(Reason.TRUNCATED, "fewer pixels than Rows, Columns and Number of Frames say")


def _ends_well(file: BinaryIO, size: int, last: _Element) -> bool:
    """Whether a file without pixel data ends where its last element does."""
    if last.length != _UNDEFINED:
        return last.start + last.length == size
    file.seek(-8, 2)
    return file.read(8) in (struct.pack("<HHL", 0xFFFE, _DELIMITER, 0), struct.pack(">HHL", 0xFFFE, _DELIMITER, 0))


def _check_fragments(file: BinaryIO, size: int, start: int) -> None:
    """Walk over encapsulated pixel data (PS3.5 annex A.4) from item to item, up to its delimiter."""
    position, fragments = start, -1  # the first item is the offset table
    while position + 8 <= size:
        file.seek(position)
        group, element, length = struct.unpack("<HHL", file.read(8))
        if (group, element) == (0xFFFE, _DELIMITER):
            if fragments < 1:
                raise Refused(Reason.NO_PIXEL_DATA, "empty")
            return
        if (group, element) != (0xFFFE, _ITEM):
            raise Refused(Reason.UNREADABLE, "pixel data is not a sequence of fragments")
        position += 8 + length
        fragments += 1
    raise Refused(Reason.TRUNCATED)
