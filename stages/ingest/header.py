"""Read a DICOM file's header, up to its pixel data."""

import zlib
from typing import BinaryIO

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset, read_partial, read_preamble
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from stages.ingest import pixel_data
from stages.ingest.pixel_data import Element
from stages.reasons import Reason, Refused

_META_GROUP = 2
_FIRST_BYTES, _PIECE = 4096, 2**20
_ZIP = b"PK\3\4"
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00", b"\x00\x08")  # file meta, identification in little and in big endian


MOST_BYTES = 2**30


def read(file: BinaryIO, size: int, most: int = MOST_BYTES) -> Dataset:
    """The header of a DICOM image, its ``file_meta.TransferSyntaxUID`` set even where the file has none.

    Parameters
    ----------
    file
        Open at its start.
    size
        Its length in bytes.
    most
        Bytes that one frame may claim, or a deflated file have when inflated.

    Raises
    ------
    Refused
        With ``NOT_DICOM``, ``UNREADABLE``, ``NO_PIXEL_DATA``, ``TRUNCATED``, ``TOO_LARGE`` or ``UNSUPPORTED``.
    """
    start = file.read(_FIRST_BYTES)
    file.seek(0)
    part10 = _is_part10(start)
    try:
        if DeflatedExplicitVRLittleEndian.encode() in start:
            _check_inflated(file, most)
        header, last = _parse(file)
        image = all(keyword in header for keyword in ("Rows", "Columns", "BitsAllocated"))
    except Refused:
        raise
    except MemoryError:
        raise Refused(Reason.TOO_LARGE) from None
    except Exception as error:  # noqa: BLE001 - damaged files raise errors of every kind
        raise Refused(Reason.UNREADABLE if part10 else Reason.NOT_DICOM, type(error).__name__) from None
    if not part10 and not (
        image and last.tag == pixel_data.PIXEL_DATA
    ):  # a file without preamble must show that it is an image
        raise Refused(Reason.NOT_DICOM)
    try:
        header.file_meta.TransferSyntaxUID = _transfer_syntax(header)
        pixel_data.check(file, size, header, last, most)
    except Refused:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        raise Refused(Reason.UNREADABLE, type(error).__name__) from None
    return header


def _is_part10(start: bytes) -> bool:
    """Whether the file has a preamble. Raises :class:`Refused` if it can be no DICOM at all."""
    if start[128:132] == b"DICM":
        return True
    if start[:2] not in _FIRST_GROUPS:
        raise Refused(Reason.NOT_DICOM, "a zip archive: give its name the ending .zip" if start[:4] == _ZIP else "")
    return False


def _check_inflated(file: BinaryIO, most: int) -> None:
    """Inflate without keeping (PS3.5 section A.5): a file of 1 MB can hold 1 GB, and pydicom inflates it whole."""
    read_preamble(file, force=True)
    read_dataset(file, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, *_: tag >> 16 != _META_GROUP)
    stream, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
    rest = file.read(_PIECE)
    while rest and not stream.eof:
        total += len(stream.decompress(rest, _PIECE))
        if total > most:
            raise Refused(Reason.TOO_LARGE, "when inflated")
        rest = stream.unconsumed_tail or file.read(_PIECE)
    file.seek(0)


def _parse(file: BinaryIO) -> tuple[Dataset, Element]:
    last = Element(0, 0, 0)

    def stop(tag: int, _: str | None, length: int) -> bool:
        nonlocal last
        last = Element(int(tag), file.tell(), length)
        return last.tag in pixel_data.TAGS

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
