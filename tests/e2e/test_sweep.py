"""The search for identity finds what is planted: in each encoding, and in each kind of container."""

import base64
import gzip
import io
import json
import sqlite3
import urllib.parse
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.e2e import sweep

NAME = "XHGZYQPJ0017"
FOREIGN = "麒麟鳳凰"
ACCENTED = "Größenß"
DATE = "18990227"
WANTED = sweep.needles([NAME, FOREIGN, ACCENTED, DATE])


def found_in(content: bytes) -> set[str]:
    return {found.text for found in sweep.search("here", content, WANTED)}


@pytest.mark.parametrize("encoding", sweep.ENCODINGS)
@pytest.mark.parametrize("text", [NAME, NAME.lower(), NAME.title()])
def test_a_text_is_found_in_every_encoding_and_case(text: str, encoding: str) -> None:
    assert found_in(b"\0\1\2" + f"before{text}after".encode(encoding)) == {NAME}


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        *((FOREIGN, encoding) for encoding in ("utf-8", "utf-16-le", "utf-16-be", "iso2022_jp", "shift_jis", "euc_jp")),
        *((ACCENTED, encoding) for encoding in ("utf-8", "latin-1", "utf-16-le", "utf-16-be")),
        (ACCENTED.upper(), "latin-1" if ACCENTED.upper().isascii() else "utf-8"),
    ],
)
def test_letters_beyond_ascii_are_found(text: str, encoding: str) -> None:
    assert found_in(b"x" + text.encode(encoding) + b"x") == {FOREIGN if text == FOREIGN else ACCENTED}


@pytest.mark.parametrize("text", [FOREIGN, ACCENTED])
def test_letters_beyond_ascii_are_found_as_json_html_and_urls_write_them(text: str) -> None:
    for written in (json.dumps(text).encode(), ascii(text).encode(), text.encode("ascii", "xmlcharrefreplace")):
        assert found_in(b"..." + written + b"...") == {text}
    assert found_in(urllib.parse.quote(text).encode()) == {text}


@pytest.mark.parametrize("before", range(7))
def test_a_text_within_base64_or_hexadecimal_is_found(before: int) -> None:
    content = b"?" * before + NAME.encode() + b"?" * 5
    assert found_in(b"@" + base64.b64encode(content)) == {NAME}
    assert found_in(content.hex().encode()) == {NAME}
    assert found_in(content.hex().upper().encode()) == {NAME}


def packed_in_zip(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.txt", content)
    return buffer.getvalue()


def packed_in_npz(content: bytes) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, array=np.frombuffer(content, np.uint8))
    return buffer.getvalue()


def packed_in_parquet(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"number": [1], "value": [content]}), sink, compression="zstd", write_statistics=False)
    return sink.getvalue().to_pybytes()


def packed_in_png(content: bytes) -> bytes:
    buffer, text = io.BytesIO(), PngInfo()
    text.add_text("Comment", content.decode("latin-1"), zip=True)
    Image.new("L", (8, 8)).save(buffer, "PNG", pnginfo=text)
    return buffer.getvalue()


def packed_in_page(content: bytes) -> bytes:
    return b'<img src="data:image/png;base64,' + base64.b64encode(packed_in_png(content)) + b'">'


def packed_in_zstandard(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


CONTAINERS = [
    gzip.compress,
    zlib.compress,
    packed_in_zip,
    packed_in_npz,
    packed_in_parquet,
    packed_in_png,
    packed_in_page,
    packed_in_zstandard,
    lambda content: packed_in_zip(gzip.compress(packed_in_parquet(content))),
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("pack", CONTAINERS)
def test_a_text_is_found_in_every_container_in_which_it_does_not_show(pack, encoding: str) -> None:
    text = ("filler " * 50 + NAME + " filler" * 50).encode(encoding)
    content = pack(text)
    assert text[400:] not in content, "the control would be found without being unpacked"
    assert NAME in found_in(content)
    assert not found_in(pack(text.replace(NAME.encode(encoding), b"")))


def test_a_text_is_found_in_a_database_in_pieces_and_in_its_log(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "some.db")
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA wal_autocheckpoint=0")
    database.execute("CREATE TABLE t (a TEXT, b BLOB)")
    long = "".join(f"{NAME if number == 3 else NAME[::-1]}{'-' * 4083}" for number in range(6))
    database.execute("INSERT INTO t VALUES (?, ?)", (long, gzip.compress(FOREIGN.encode("utf-16-le"))))
    database.commit()
    found, read = sweep.search_tree(tmp_path, WANTED, lambda path: path.suffix != ".db")
    assert {item.text for item in found} == {NAME, FOREIGN}
    assert read == 1
    database.close()


def test_a_path_is_searched_and_what_is_exempt_is_not(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}^X").mkdir()
    (tmp_path / f"{NAME}^X" / "empty").touch()
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "file").write_text(ACCENTED)
    found, read = sweep.search_tree(tmp_path, WANTED, lambda path: path.is_relative_to(tmp_path / "raw"))
    assert {item.text for item in found} == {NAME}
    assert read == 1


@pytest.mark.parametrize("text", ["0.18990227", "118990227", "189902270", "1899022", "no name"])
def test_part_of_a_longer_number_is_no_date(text: str) -> None:
    assert found_in(text.encode()) == set()
    assert found_in(f"{text}, {DATE}, {text}".encode()) == {DATE}


def test_a_container_that_cannot_be_opened_is_an_error_and_not_passed_over() -> None:
    with pytest.raises(zipfile.BadZipFile):
        found_in(packed_in_zip(b"some")[:-30])
