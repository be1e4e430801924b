"""A batch's files: on the disk, or in a zip archive as vendors export them. Nothing is ever unpacked to the disk.

A member of an archive has the path ``folder/export.zip/inner/IM0001``: what leads through a file leads into an archive.
Its name is only a name, whatever is in it.
"""

import io
import lzma
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import BinaryIO

from stages.reasons import Reason, Refused

_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, IndexError, OverflowError)
_ENCRYPTED = 1  # APPNOTE.TXT 4.4.4, bit 0


def is_archive(path: str) -> bool:
    """Whether the name says so: to look into every file would read every file."""
    return path.lower().endswith(".zip")


def members(path: str) -> list[str]:
    """What is in an archive, by its path in it; nothing for a file that is no archive, or no whole one.

    Names that stand twice in an archive are told apart by ``(2)``.
    """
    try:
        return list(_archive(path, _changed(path))[1])
    except Refused:
        return []


def refusal(path: str) -> Refused:
    """Why a file that is named an archive, and is no DICOM file, brings no image."""
    if _leads_through(path):
        return Refused(Reason.ARCHIVE, "inside another")
    try:
        _archive(path, _changed(path))
    except Refused as refused:
        return refused
    return Refused(Reason.NOT_DICOM, "an empty archive")


@contextmanager
def opened(path: str, most: int) -> Iterator[BinaryIO]:
    """A regular file or a member of an archive, to read and seek in; of a member, at most ``most`` bytes.

    Raises
    ------
    Refused
        With ``NOT_DICOM`` (a pipe, a device), ``LINK``, ``ARCHIVE``, ``UNREADABLE`` or ``TOO_LARGE``.
    """
    try:
        regular = stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116 - of a text that may be no path
    except (OSError, ValueError) as error:
        if (archive := _leads_through(path)) is None:
            raise Refused(Reason.UNREADABLE, type(error).__name__) from None
        with _member(archive, path[len(archive) + 1 :], most) as file:
            yield file
        return
    if not regular:  # a pipe would wait for ever
        raise Refused(Reason.LINK) if os.path.isdir(path) else Refused(Reason.NOT_DICOM, "not a regular file")  # noqa: PTH112
    try:
        file = open(path, "rb")  # noqa: PTH123, SIM115 - as above; closed below
    except OSError as error:
        raise Refused(Reason.UNREADABLE, type(error).__name__) from None
    with file:
        yield file


def _leads_through(path: str) -> str | None:
    """The archive that ``path`` leads into."""
    ends = (number for number, letter in enumerate(path) if letter == "/")
    return next((path[:end] for end in ends if is_archive(path[:end]) and os.path.isfile(path[:end])), None)  # noqa: PTH113


@contextmanager
def _member(archive: str, name: str, most: int) -> Iterator[BinaryIO]:
    file, listed = _archive(archive, _changed(archive))
    if name not in listed:
        raise Refused(Reason.UNREADABLE, "no longer in its archive")
    found = listed[name]
    if found.flag_bits & _ENCRYPTED:
        raise Refused(Reason.ARCHIVE, "encrypted")
    if found.file_size > most:  # zipfile gives no byte more than this
        raise Refused(Reason.TOO_LARGE, "in its archive")
    try:
        content = file.read(found)
    except NotImplementedError:
        raise Refused(Reason.ARCHIVE, "its compression") from None
    except (*_DAMAGE, RuntimeError):
        raise Refused(Reason.UNREADABLE, "damaged archive") from None
    yield io.BytesIO(content)


def _changed(path: str) -> int:
    try:
        found = os.stat(path)  # noqa: PTH116 - as above
    except OSError as error:
        raise Refused(Reason.UNREADABLE, type(error).__name__) from None
    if not stat.S_ISREG(found.st_mode):  # as above, whatever it is named
        raise Refused(Reason.NOT_DICOM, "not a regular file")
    return found.st_mtime_ns


@lru_cache(maxsize=4)
def _archive(path: str, _: int) -> tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]:
    """An archive and its members by name: read once, not once a member."""
    try:
        file = zipfile.ZipFile(path)
        listed: dict[str, zipfile.ZipInfo] = {}
        for info in file.infolist():
            if info.is_dir():
                continue
            name, number = info.filename, 1
            while name in listed:
                number += 1
                name = f"{info.filename} ({number})"
            listed[name] = info
    except (*_DAMAGE, NotImplementedError):
        raise Refused(Reason.UNREADABLE, "damaged archive") from None
    return file, listed
