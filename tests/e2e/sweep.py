"""Search every byte below a folder for texts, in many encodings, and inside whatever packs bytes.

A search that finds nothing proves nothing unless it would have found something: ``test_sweep.py`` plants texts in every
kind of container and every encoding that is claimed here.
"""

import base64
import binascii
import gzip
import hashlib
import io
import json
import re
import shutil
import sqlite3
import struct
import tempfile
import urllib.parse
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

ENCODINGS = ("utf-8", "latin-1", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
DICOM_ENCODINGS = ("iso2022_jp", "shift_jis", "euc_jp", "euc_kr", "iso8859_5", "gb18030")
"""What PS3.3 section C.12.1.1.2 allows for names, as Python calls it; of bytes that are passed on as they are."""

_DEEPEST = 4
_BASE64_RUN = re.compile(rb"[A-Za-z0-9+/]{40,}={0,2}")


class Needle(NamedTuple):
    """A text as bytes in one encoding, ASCII letters in lower case; a ``whole`` number is not part of a longer one."""

    text: str
    encoding: str
    pattern: bytes
    whole: bool


class Found(NamedTuple):
    """Where a text was found: the file, what was unpacked of it, the encoding, and what stands around it."""

    where: str
    text: str
    encoding: str
    around: bytes


def needles(texts: Iterable[str]) -> list[Needle]:
    """Every text in every encoding that can write it."""
    found: dict[tuple[bytes, bool], Needle] = {}
    for text in texts:
        for encoding, pattern in _encoded(text):
            whole = text.isdigit() and len(pattern) == len(text)
            found.setdefault((pattern.lower(), whole), Needle(text, encoding, pattern.lower(), whole))
    return list(found.values())


def _encoded(text: str) -> Iterator[tuple[str, bytes]]:
    for variant in dict.fromkeys((text, text.lower(), text.upper())):  # bytes.lower() knows ASCII only
        for encoding in (*ENCODINGS, *DICOM_ENCODINGS):
            try:
                yield encoding, variant.encode(encoding)
            except UnicodeEncodeError:
                continue
        plain = variant.encode()
        if not variant.isascii():
            yield "JSON", json.dumps(variant)[1:-1].encode()
            yield "repr", variant.encode("ascii", "backslashreplace")
            yield "HTML", variant.encode("ascii", "xmlcharrefreplace")
            yield "URL", urllib.parse.quote(variant).encode()
        if len(plain) >= 8:  # shorter ones would be found by chance
            yield "hexadecimal", plain.hex().encode()
            for shift in range(3):
                yield "base64", _inner_base64(plain, shift)


def _inner_base64(content: bytes, shift: int) -> bytes:
    """The characters of base64 that ``content`` decides alone, when ``shift`` bytes (modulo 3) stand before it."""
    written = base64.b64encode(b"\0" * shift + content)
    return written[-(-shift * 8 // 6) : (shift + len(content)) * 8 // 6]


def search(where: str, content: bytes, wanted: list[Needle]) -> Iterator[Found]:
    """Where ``content``, or what is packed in it, holds one of the texts."""
    for inside, data in unpacked(where, content):
        lowered = data.lower()
        for needle in wanted:
            at = lowered.find(needle.pattern)
            if at >= 0 and needle.whole:
                match = re.search(rb"(?<![0-9.])" + needle.pattern + rb"(?![0-9])", lowered)
                at = match.start() if match else -1
            if at >= 0:
                yield Found(inside, needle.text, needle.encoding, data[max(0, at - 40) : at + len(needle.pattern) + 40])


def search_tree(root: Path, wanted: list[Needle], exempt: Callable[[Path], bool]) -> tuple[list[Found], int]:
    """Search every file below ``root`` and its path, but those that are ``exempt``; and how many files were read.

    The same content is read once: DVC keeps copies.
    """
    found: list[Found] = []
    seen: set[bytes] = set()
    read = 0
    for path in sorted(root.rglob("*")):
        if exempt(path):
            continue
        name = path.relative_to(root).as_posix()
        found += search(f"the path {name}", name.encode("utf-8", "surrogateescape"), wanted)
        if path.is_symlink() or not path.is_file():
            continue
        read += 1
        content = path.read_bytes()
        digest = hashlib.sha256(content).digest()
        if digest not in seen:
            seen.add(digest)
            found += search(name, content, wanted)
            if content.startswith(b"SQLite format 3\0"):
                for inside, data in _sqlite(name, path):
                    found += search(inside, data, wanted)
    return found, read


def unpacked(where: str, content: bytes, depth: int = 0) -> Iterator[tuple[str, bytes]]:
    """``content`` as it is, and everything that it packs, at any depth down to four.

    What begins as a container does and cannot be opened raises the error of its library: nothing is passed over.
    """
    yield where, content
    if depth == _DEEPEST:
        return
    for what, data in _members(content):
        yield from unpacked(f"{where} > {what}", data, depth + 1)
    for run in _BASE64_RUN.findall(content):
        usable = run[: len(run) // 4 * 4]
        try:
            data = base64.b64decode(usable)
        except binascii.Error:
            continue  # a "=" within: it only looked like base64
        yield from unpacked(f"{where} > base64", data, depth + 1)


def _members(content: bytes) -> Iterator[tuple[str, bytes]]:
    if content.startswith(b"PAR1") and content.endswith(b"PAR1"):
        yield "parquet", _parquet(content)
    elif content.startswith(b"\x1f\x8b\x08"):
        yield "gzip", gzip.decompress(content)
    elif content.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for info in archive.infolist():
                yield "name in zip", info.filename.encode() + info.comment + info.extra
                yield f"zip:{info.filename}", archive.read(info)
    elif content.startswith(b"\x28\xb5\x2f\xfd"):
        yield "zstandard", pa.CompressedInputStream(pa.BufferReader(content), "zstd").read()
    elif content.startswith(b"\x89PNG\r\n\x1a\n"):
        yield from _png(content)
    elif content[:1] == b"\x78" and len(content) > 2 and int.from_bytes(content[:2], "big") % 31 == 0:
        try:  # two bytes are a weak sign: other files begin so, too
            yield "zlib", zlib.decompressobj().decompress(content)
        except zlib.error:
            return


def _parquet(content: bytes) -> bytes:
    """Every column and all metadata as Arrow's stream, which compresses nothing."""
    file = pq.ParquetFile(pa.BufferReader(content))
    sink = pa.BufferOutputStream()
    table = file.read()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    kept = file.metadata.metadata or {}
    return sink.getvalue().to_pybytes() + b"\n".join(key + b"\n" + value for key, value in kept.items())


def _png(content: bytes) -> Iterator[tuple[str, bytes]]:
    position = 8
    while position + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[position : position + 8])
        value = content[position + 8 : position + 8 + length]
        if kind in {b"zTXt", b"iTXt", b"iCCP"}:
            start = value.find(b"\x78")
            while start >= 0:  # after a keyword, and in iTXt a language and a translation
                try:
                    yield f"PNG {kind.decode()}", zlib.decompressobj().decompress(value[start:])
                    break
                except zlib.error:
                    start = value.find(b"\x78", start + 1)
        position += 12 + length


def _sqlite(where: str, path: Path) -> Iterator[tuple[str, bytes]]:
    """Every value of every table: a long text is not in one piece in the file. Its write-ahead log counts."""
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("", "-wal"):
            beside = path.with_name(path.name + suffix)
            if beside.exists():
                shutil.copy(beside, Path(folder) / f"copy{suffix}")
        database = sqlite3.connect(Path(folder) / "copy")
        database.text_factory = bytes
        with database:
            names = [name.decode() for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type='table'")]
            for table in names:
                texts: list[bytes] = []
                for row in database.execute(f'SELECT * FROM "{table}"'):
                    for value in row:
                        if isinstance(value, bytes):
                            packed = list(_members(value))
                            yield from ((f"{where} > {table} > {what}", data) for what, data in packed)
                            texts.append(value)
                yield f"{where} > {table}", b"\n".join(texts)
        database.close()
