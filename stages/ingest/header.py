"""Read a DICOM file's header, up to its pixel data."""

import math
import zlib
from contextlib import suppress
from functools import lru_cache
from io import BytesIO
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

from stages.ingest import elements, pixel_data
from stages.ingest.pixel_data import Element
from stages.reasons import Reason, Refused

_META_GROUP = 2
_BEGINNING, _MORE = 2**15, 2**18  # bytes that hold most headers, and nearly all
_PIECE = 2**20
_PIXEL_DATA = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10")  # in little and in big endian
_ARCHIVES = (b"PK\3\4", b"\x1f\x8b", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\7")  # zip, gzip, 7z, rar
_TAR = b"ustar"
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
        With ``NOT_DICOM``, ``ARCHIVE``, ``UNREADABLE``, ``NO_PIXEL_DATA``, ``TRUNCATED``, ``TOO_LARGE`` or
        ``UNSUPPORTED``.
    """
    beginning = file.read(_BEGINNING)
    part10 = _is_part10(beginning)
    if not _may_hold_pixel_data(beginning):
        beginning += file.read(_MORE - _BEGINNING)
    file.seek(0)
    try:
        if deflated := DeflatedExplicitVRLittleEndian.encode() in beginning:
            _check_inflated(file, most)
        header, last = _parse_beginning(beginning, size) or _parse(file, None if deflated else size)
    except Refused:
        raise
    except MemoryError:
        raise Refused(Reason.TOO_LARGE) from None
    except Exception as error:  # noqa: BLE001 - damaged files raise errors of every kind
        raise Refused(Reason.UNREADABLE if part10 else Reason.NOT_DICOM, type(error).__name__) from None
    if not part10 and not _is_image(header, last):  # a file without preamble must show what it is
        raise Refused(Reason.NOT_DICOM)
    try:
        syntax = _settled_transfer_syntax(header)
        pixel_data.check(file, size, header, syntax, last, most)
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
        packed = start.startswith(_ARCHIVES) or start[257:262] == _TAR
        raise Refused(Reason.ARCHIVE if packed else Reason.NOT_DICOM)
    return False


def _check_inflated(file: BinaryIO, most: int) -> None:
    """Inflate without keeping (PS3.5 section A.5): a file of 1 MB can hold 1 GB, and pydicom inflates it whole."""
    read_preamble(file, force=True)
    meta = read_dataset(file, False, True, stop_when=lambda tag, *_: tag >> 16 != _META_GROUP)  # noqa: FBT003
    if meta.get("TransferSyntaxUID", DeflatedExplicitVRLittleEndian) != DeflatedExplicitVRLittleEndian:
        file.seek(0)  # named, but as the syntax of something else
        return
    stream, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
    rest = file.read(_PIECE)
    while rest and not stream.eof:
        total += len(stream.decompress(rest, _PIECE))
        if total > most:
            raise Refused(Reason.TOO_LARGE, "when inflated")
        rest = stream.unconsumed_tail or file.read(_PIECE)
    file.seek(0)


def _parse_beginning(beginning: bytes, size: int) -> tuple[Dataset, Element] | None:
    """As :func:`_parse`, if the pixel data begins here. In memory: a file is asked for its position at each element."""
    if not _may_hold_pixel_data(beginning):
        return None
    with suppress(Exception):  # it shows again in the whole file, unless it was that the rest is missing here
        header, last = _parse(BytesIO(beginning), size)
        return (header, last) if last.tag in pixel_data.TAGS else None
    return None


def _may_hold_pixel_data(beginning: bytes) -> bool:
    return any(tag in beginning for tag in _PIXEL_DATA)


def _parse(file: BinaryIO, size: int | None) -> tuple[Dataset, Element]:
    """The header, and the last element that was begun; ``size`` of the file, where positions are the file's."""
    last, tell, tags = (0, 0, 0), file.tell, pixel_data.TAGS
    end = math.inf if size is None else size

    def stop(tag: int, _: str | None, length: int) -> bool:
        nonlocal last
        start = tell()
        last = tag, start, length
        # a value that ends after its file is not read: pydicom would ask for memory for all that it claims
        return tag in tags or (start + length > end and length != pixel_data.UNDEFINED)

    header = read_partial(file, stop_when=stop, force=True, specific_tags=elements.TAGS)
    return header, Element(*last)


def _is_image(header: Dataset, last: Element) -> bool:
    return last.tag == pixel_data.PIXEL_DATA and all(word in header for word in ("Rows", "Columns", "BitsAllocated"))


def _settled_transfer_syntax(header: Dataset) -> UID:
    stated = header.file_meta.get("TransferSyntaxUID")
    if stated is None:  # then what pydicom found out from the first elements
        implicit, little = header.original_encoding
        known = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        header.file_meta.TransferSyntaxUID = known
        return known
    if not isinstance(stated, UID):
        header.file_meta.TransferSyntaxUID = stated = UID(stated)
    if not _is_transfer_syntax(stated):
        raise Refused(Reason.UNSUPPORTED, "unknown transfer syntax")
    return stated


@lru_cache(maxsize=64)
def _is_transfer_syntax(uid: UID) -> bool:
    return not uid.is_private and uid.is_transfer_syntax
