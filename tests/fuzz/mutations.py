"""Damaged DICOM files, each made again from a seed and a number: ``python -m tests.fuzz.mutations <number> <file>``.

Bases are real files, small ones, each completed where it lacks what ingest asks of every file: damage is to be found by
what reads it, not hidden behind a missing PatientID. Every mutant has a SOP Instance UID of its own, or it would be a
duplicate, which nobody decodes.
"""

import io
import os
import random
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pydicom
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian

SEED = os.environ.get("RADREPRO_FUZZ_SEED", "1")
MOST = 200_000
"""Bytes of a base: a larger one tells no more, and takes longer."""

_ITEM, _SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_LIES = (0, 1, 2, 3, 7, 0x7FFF, 0xFFFE, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
_LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV"}
_STREAM_SIZES = {  # markers that size follows: how far behind them, and how
    b"\xff\xc0": (5, ">HH"),  # JPEG SOF: height, width (ISO 10918-1 B.2.2)
    b"\xff\xc1": (5, ">HH"),
    b"\xff\xc3": (5, ">HH"),
    b"\xff\xf7": (5, ">HH"),  # JPEG-LS
    b"\xff\x51": (6, ">LL"),  # JPEG 2000 SIZ: width, height (ISO 15444-1 A.5.1)
}


class Base(NamedTuple):
    """A sound file."""

    name: str
    content: bytes
    uid: bytes
    """Its SOP Instance UID, as it stands in ``content``; empty where it has none."""
    image: bool


class Mutant(NamedTuple):
    """A damaged file, and in words how it came about."""

    content: bytes
    story: str

    @property
    def suffix(self) -> str:
        """Of its name, by which archives are known."""
        return ".zip" if self.story.endswith(_wrap_in_zip.__name__.lstrip("_")) else ""


def bases(folder: Path) -> list[Base]:
    """The small files of a folder, sorted by path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size <= MOST)
    return [_completed(path.relative_to(folder).as_posix(), path.read_bytes()) for path in paths]


def pydicom_bases() -> list[Base]:
    """Of the files that pydicom brings for its own tests."""
    return bases(Path(pydicom.__file__).parent / "data/test_files")


def mutant(number: int, of: Sequence[Base], seed: str = SEED) -> Mutant:
    """The same for the same seed, number and bases."""
    chance = random.Random(f"{seed}/{number}")
    images = [base for base in of if base.image] if chance.random() < 0.9 else of  # most damage is of images
    base = chance.choice(images)
    content, story = _with_own_uid(base, number), [base.name]
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        before, tries = content, iter(range(20))
        while content == before and next(tries, None) is not None:  # not every damage fits every file
            damage = chance.choice(_DAMAGES)
            content = damage(before, chance)
        story.append(damage.__name__.lstrip("_"))
    return Mutant(content, " > ".join(story))


# --- bases


def _completed(name: str, content: bytes) -> Base:
    try:
        dataset = dcmread(io.BytesIO(content), force=True)
        if "PixelData" in dataset:
            missing = {
                keyword: value
                for keyword, value in (
                    ("PatientID", "somebody"),
                    ("SOPInstanceUID", f"1.2.826.0.1.{zlib.crc32(name.encode())}.1000000"),
                    ("SeriesInstanceUID", "1.2.826.0.1.3"),
                    ("StudyInstanceUID", "1.2.826.0.1.4"),
                )
                if not dataset.get(keyword)
            }
            if missing:
                dataset.update(missing)
                buffer = io.BytesIO()
                dataset.save_as(buffer, enforce_file_format=False)
                content = buffer.getvalue()
        uid = str(dataset.get("SOPInstanceUID") or "").encode()
    except Exception:  # noqa: BLE001 - a base may be damaged already: pydicom keeps such files to test itself
        return Base(name, content, b"", image=False)
    return Base(name, content, uid, image="PixelData" in dataset)


def _with_own_uid(base: Base, number: int) -> bytes:
    """In place, with as many digits: no length changes."""
    if len(base.uid) < 10:
        return base.content
    own = base.uid[:-6] + f"{number % 10**6:06}".encode()
    if base.uid in base.content.partition(b"DICM")[2][300:] or not _is_deflated(base.content):
        return base.content.replace(base.uid, own)
    end = _end_of_meta(base.content)
    squeezer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    plain = zlib.decompress(base.content[end:], wbits=-zlib.MAX_WBITS).replace(base.uid, own)
    return base.content[:end] + squeezer.compress(plain) + squeezer.flush()


def _is_deflated(content: bytes) -> bool:
    return DeflatedExplicitVRLittleEndian.encode() in content[:1000]


def _end_of_meta(content: bytes) -> int:
    return 144 + int(struct.unpack_from("<L", content, 140)[0])  # (0002,0000) says how long the rest of its group is


# --- damages


def _cut_anywhere(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content) + 1)]


def _cut_at_a_joint(content: bytes, chance: random.Random) -> bytes:
    """Where an element's value or an item begins or ends."""
    joints = [at + offset for at in _values(content) for offset in (-8, -4, 0)] + _found(content, _ITEM)
    return content[: chance.choice(joints)] if joints else content


def _flip_bits(content: bytes, chance: random.Random) -> bytes:
    return _flipped(content, chance, len(content))


def _flip_bits_of_the_header(content: bytes, chance: random.Random) -> bytes:
    return _flipped(content, chance, min(len(content), 2500))


def _flip_bits_of_the_stream(content: bytes, chance: random.Random) -> bytes:
    """In the pixel data, where the codec reads its own header."""
    at = content.rfind(b"\xe0\x7f\x10\x00")
    head, stream = (content[:at], content[at:]) if at > 0 else (b"", content)
    return head + _flipped(stream, chance, min(len(stream), 400))


def _overwrite_a_run(content: bytes, chance: random.Random) -> bytes:
    length = chance.choice((1, 4, 16, 100, 1000))
    with_what = chance.choice((b"\x00" * length, b"\xff" * length, chance.randbytes(length)))
    at = chance.randrange(max(1, len(content)))
    return content[:at] + with_what[: len(content) - at] + content[at + length :]


def _lose_a_run(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(max(1, len(content)))
    return content[:at] + content[at + chance.choice((1, 2, 8, 512)) :]


def _repeat_a_run(content: bytes, chance: random.Random) -> bytes:
    at, length = chance.randrange(max(1, len(content))), chance.choice((8, 100, 1000))
    return content[: at + length] + content[at:]


def _lie_of_an_element(content: bytes, chance: random.Random) -> bytes:
    values = _values(content)
    if not values:
        return content
    at = chance.choice(values)
    short = content[at - 4 : at - 2].isalpha() and content[at - 4 : at - 2] not in _LONG
    lie = chance.choice((*_LIES, len(content), len(content) - at, len(content) - at + 1))
    return _put(content, at - 2, struct.pack("<H", lie & 0xFFFF)) if short else _put(content, at - 4, _long(lie))


def _lie_of_an_item(content: bytes, chance: random.Random) -> bytes:
    """Of a sequence, or a fragment."""
    items = _found(content, _ITEM)
    return _put(content, chance.choice(items) + 4, _long(chance.choice((*_LIES, len(content))))) if items else content


def _lie_of_the_offset_table(content: bytes, chance: random.Random) -> bytes:
    """PS3.5 A.4: the first item of encapsulated pixel data says where each frame begins."""
    at = content.find(_ITEM, content.rfind(b"\xe0\x7f\x10\x00"))
    if at < 0:
        return content
    offsets = b"".join(_long(chance.choice((*_LIES, len(content)))) for _ in range(chance.choice((1, 2, 50))))
    return content[: at + 4] + _long(len(offsets)) + offsets + content[at + 8 + _length(content, at) :]


def _lose_a_delimiter(content: bytes, chance: random.Random) -> bytes:
    ends = _found(content, _SEQUENCE_END)
    return _put(content, chance.choice(ends), chance.choice((_ITEM, b"\0" * 4, b"\xff" * 4))) if ends else content


def _claim_a_size(content: bytes, chance: random.Random) -> bytes:
    """65,535 x 65,535 x 10,000 and the like, in the header."""
    claims = {
        "Rows": chance.choice((0, 1, 65535)),
        "Columns": chance.choice((0, 1, 65535)),
        "NumberOfFrames": chance.choice((-1, 0, 2, 10_000, 2**31 - 1)),
        "BitsAllocated": chance.choice((0, 1, 7, 8, 16, 32, 64, 65535)),
        "BitsStored": chance.choice((0, 1, 8, 12, 16, 17, 65535)),
        "SamplesPerPixel": chance.choice((0, 1, 2, 3, 4, 65535)),
        "PixelRepresentation": chance.choice((0, 1, 2)),
        "PlanarConfiguration": chance.choice((0, 1, 2)),
    }
    told = chance.sample(sorted(claims), chance.choice((1, 1, 2, 3)))
    return _set(content, {keyword: claims[keyword] for keyword in told})


def _claim_everything(content: bytes, chance: random.Random) -> bytes:
    return _set(content, {"Rows": 65535, "Columns": 65535, "NumberOfFrames": chance.choice((1, 10_000))})


def _claim_a_size_in_the_stream(content: bytes, chance: random.Random) -> bytes:
    """As the codec's own header has it."""
    start = max(0, content.rfind(b"\xe0\x7f\x10\x00"))
    found = [(at, marker) for marker in _STREAM_SIZES if (at := content.find(marker, start)) > 0]
    if not found:
        return content
    at, marker = chance.choice(found)
    behind, how = _STREAM_SIZES[marker]
    sizes = (1, 65535) if how == ">HH" else (1, 65535, 2**31 - 1, 2**32 - 1)
    return _put(content, at + behind, struct.pack(how, chance.choice(sizes), chance.choice(sizes)))


def _nest(content: bytes, chance: random.Random) -> bytes:
    """Sequences in sequences, of undefined length, closed or not, before the pixel data or wherever an element ends."""
    depth = chance.choice((1, 30, 300, 3000))
    opened = b"\x08\x00\x40\x11" + (b"SQ\0\0" if b"UI" in content[:400] else b"") + b"\xff" * 4 + _ITEM + b"\xff" * 4
    closed = b"\xfe\xff\x0d\xe0\0\0\0\0" + _SEQUENCE_END + b"\0\0\0\0"
    nested = opened * depth + closed * chance.choice((depth, depth, depth - 1, 0))
    at = content.rfind(b"\xe0\x7f\x10\x00") if chance.random() < 0.5 else chance.choice(_values(content) or [0]) - 8
    return content[:at] + nested + content[at:] if at > 0 else content


def _change_words(content: bytes, chance: random.Random) -> bytes:
    """Values that are not of their kind, or that no reader expects."""
    words = {
        "PhotometricInterpretation": ("MONOCHROME1", "RGB", "YBR_FULL_422", "PALETTE COLOR", "", "\\", "CMYK"),
        "WindowCenter": ("nan", "inf", "-1e308", "1\\2\\3", "", "abc"),
        "WindowWidth": ("0", "-1", "nan", "1e-300", "1\\0", ""),
        "RescaleSlope": ("0", "nan", "inf", "1e300", ""),
        "RescaleIntercept": ("nan", "-inf", "1e308", ""),
        "VOILUTFunction": ("SIGMOID", "LINEAR_EXACT", "CUBIC", ""),
        "PixelAspectRatio": ("0\\0", "1\\0", "-1\\1", "1", "60000\\1"),
        "PatientAge": ("999Y", "-01Y", "abc", "0"),
        "SpecificCharacterSet": ("ISO_IR 192", "nonsense", "\\ISO 2022 IR 87", "utf8"),
        "NumberOfFrames": ("1.5", "abc", "", "1\\2"),
    }
    told = chance.sample(sorted(words), chance.choice((1, 2, 3)))
    return _set(content, {keyword: chance.choice(words[keyword]) for keyword in told}, raw=True)


def _wrap_in_zip(content: bytes, chance: random.Random) -> bytes:
    """As vendors export them; and damaged, or with a path that leads out."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        archive.writestr(zipfile.ZipInfo(chance.choice(("DICOM/IM1", "../../IM1", "/etc/IM1", "a" * 300))), content)
        archive.writestr(zipfile.ZipInfo("README.TXT"), b"hello")
    whole = buffer.getvalue()
    damage = chance.choice((lambda c, _: c, _cut_anywhere, _flip_bits, _overwrite_a_run, _lose_a_run))
    return damage(whole, chance)


_DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _cut_anywhere,
    _cut_at_a_joint,
    _flip_bits,
    _flip_bits_of_the_header,
    _flip_bits_of_the_stream,
    _overwrite_a_run,
    _lose_a_run,
    _repeat_a_run,
    _lie_of_an_element,
    _lie_of_an_item,
    _lie_of_the_offset_table,
    _lose_a_delimiter,
    _claim_a_size,
    _claim_everything,
    _claim_a_size_in_the_stream,
    _nest,
    _change_words,
    _wrap_in_zip,
)


# --- where things are


def _values(content: bytes) -> list[int]:
    """Where the values of the top-level elements begin; none where pydicom finds no way through."""
    try:
        dataset = dcmread(io.BytesIO(content), force=True)
        found = [getattr(dataset.get_item(tag), "value_tell", 0) for tag in dataset.keys()]  # noqa: SIM118 - raw ones
    except Exception:  # noqa: BLE001 - it is damaged already
        return []
    return [at for at in found if 8 <= at <= len(content)]


def _found(content: bytes, what: bytes) -> list[int]:
    found, at = [], content.find(what)
    while at >= 0:
        found.append(at)
        at = content.find(what, at + 1)
    return found


def _length(content: bytes, at: int) -> int:
    return int.from_bytes(content[at + 4 : at + 8], "little")


def _set(content: bytes, values: dict[str, object], *, raw: bool = False) -> bytes:
    """Replace attributes, by way of pydicom; the same content where it cannot read or write it."""
    try:
        dataset = dcmread(io.BytesIO(content), force=True)
        for keyword, value in values.items():
            if raw:  # as it stands in the file: pydicom would refuse the value
                dataset.add_new(pydicom.datadict.tag_for_keyword(keyword), "UN", str(value).encode())
            else:
                setattr(dataset, keyword, value)
        buffer = io.BytesIO()
        dataset.save_as(buffer, enforce_file_format=False)
    except Exception:  # noqa: BLE001 - it is damaged already
        return content
    written = buffer.getvalue()
    for keyword in values if raw else ():
        vr = pydicom.datadict.dictionary_VR(keyword).encode()
        tag = struct.pack("<HH", *divmod(pydicom.datadict.tag_for_keyword(keyword), 0x10000))
        at = written.find(tag + b"UN\0\0")
        if at > 0:  # a short length takes the place of the long one
            written = written[: at + 4] + vr + written[at + 8 : at + 10] + written[at + 12 :]
    return written


def _put(content: bytes, at: int, what: bytes) -> bytes:
    return content[:at] + what + content[at + len(what) :]


def _long(value: int) -> bytes:
    return struct.pack("<L", value & 0xFFFFFFFF)


def _flipped(content: bytes, chance: random.Random, within: int) -> bytes:
    if not content:
        return content
    flipped = bytearray(content)
    for _ in range(chance.choice((1, 2, 8, 64))):
        flipped[chance.randrange(within)] ^= 1 << chance.randrange(8)
    return bytes(flipped)


if __name__ == "__main__":
    made = mutant(int(sys.argv[1]), bases(Path(sys.argv[3])) if len(sys.argv) > 3 else pydicom_bases())
    Path(sys.argv[2]).write_bytes(made.content)
    sys.stderr.write(f"{made.story}\n")
