"""A delivery in which everything that can hold a name does: DICOM files, their names, and the table of labels."""

import csv
import io
import shutil
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import config
from pydicom.datadict import DicomDictionary
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from tests.dicom_files import chest, make_dicom

# All that is searched for stands here backwards: this file is in the clone that is searched.
PREFIX = "QVXWJKZQ"[::-1]
"""Begins every planted text: no word, and too long for chance."""

UID_ROOT = "2.25." + "46382715049294816037"[::-1]
"""Begins every planted UID."""

NUMBERS = {"DS": "37156.482091337"[::-1], "IS": "5633914702"[::-1], "TM": "828172.719340"[::-1]}
BIRTH, STUDY, OTHER = DATES = tuple(day[::-1] for day in ("71401391", "31908002", "13509991"))
FOREIGN = tuple(name[::-1] for name in ("火禍觜鷹", "쌔흑훤", "ъэющЖ", "ñgnagßüM"))
"""Names that no table of words holds: Japanese, Korean, Cyrillic, Latin."""

CHARSETS = {
    ("", "ISO 2022 IR 87"): FOREIGN[0],
    ("", "ISO 2022 IR 149"): FOREIGN[1],
    ("ISO_IR 144",): FOREIGN[2],
    ("ISO_IR 100",): FOREIGN[3],
    ("ISO_IR 192",): "".join(FOREIGN),
    ("GB18030",): FOREIGN[0],
}

SEARCHED = (
    PREFIX,
    UID_ROOT,
    *NUMBERS.values(),
    *DATES,
    *(f"{date[:4]}-{date[4:6]}-{date[6:]}" for date in DATES),
    *(f"{date[:4]}.{date[4:6]}.{date[6:]}" for date in DATES),
    *FOREIGN,
)
"""What may stand in no byte that the pipeline writes."""

SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, JPEGLSLossless, RLELossless)
_TEXT = {"AE": 16, "AS": 16, "CS": 16, "LO": 64, "LT": 99, "PN": 64, "SH": 16, "ST": 99, "UC": 99, "UR": 99, "UT": 99}
_BYTES = {"OB", "UN", "OW", "OB or OW"}
_DECIDING = {0x0000, 0x0002, 0x0004, 0x7FE0, 0xFFFA, 0xFFFE}
_MEANING = {"00080005", "00080016", "00186011", "00289110", "52009229", "52009230", "00020010"}
"""Groups and attributes that decide whether and how a file is read: another file holds names in them."""

IDENTITY = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID")
KEPT = {
    "Modality": "DX", "Manufacturer": "SIEMENS", "BodyPartExamined": "CHEST", "ViewPosition": "PA",
    "ImageLaterality": "U", "PatientSex": "F", "PatientAge": "077Y",
}  # fmt: skip
"""What passes ingest as it is."""


@dataclass
class Canaries:
    """Numbers the planted texts, and remembers where each stands."""

    planted: dict[str, str] = field(default_factory=dict)

    def text(self, where: str, extra: str = "") -> str:
        name = f"{PREFIX}{len(self.planted):05d}"
        self.planted[name] = where
        return name + extra

    def uid(self, where: str) -> str:
        uid = f"{UID_ROOT}.{len(self.planted) + 1}"
        self.planted[uid] = where
        return uid

    def value(self, vr: str, where: str) -> object:
        """A value of a representation (PS3.5 section 6.2), None for numbers in binary."""
        if vr in _TEXT:
            return self.text(where)
        if vr in _BYTES:
            content = self.text(where).encode()
            return content + b" " * (len(content) % 2)
        if vr == "UI":
            return self.uid(where)
        return {**NUMBERS, "DA": OTHER, "DT": f"{OTHER}{NUMBERS['TM']}", "SQ": None}.get(vr)


def fill(dataset: Dataset, canaries: Canaries, where: str, *, every: bool) -> None:
    """Plant in every attribute of DICOM's dictionary that can hold text, or in one of each representation."""
    done: set[str] = set()
    for number, (vr, _, _, _, keyword) in sorted(DicomDictionary.items()):
        decides = number >> 16 in _DECIDING or f"{number:08X}" in _MEANING
        of_pixels = number >> 16 == 0x0028 and vr not in {"LO", "LT", "SH", "ST", "UC", "UT"}
        if decides or of_pixels or number in dataset or (not every and vr in done):
            continue
        value = canaries.value(vr, f"{where}: {keyword}")
        if vr == "SQ":
            value = nested(canaries, f"{where}: {keyword}", depth=3 if vr not in done else 1)
        if value is not None:
            done.add(vr)
            dataset.add(DataElement(number, "OB" if vr == "OB or OW" else vr, value))


def nested(canaries: Canaries, where: str, depth: int) -> Sequence:
    item = Dataset()
    item.PatientName = canaries.text(where)
    item.StudyDate, item.ReferencedSOPInstanceUID = STUDY, canaries.uid(where)
    item.private_block(0x0019, canaries.text(f"{where}: creator"), create=True).add_new(1, "LO", canaries.text(where))
    if depth > 1:
        item.ReferencedStudySequence = nested(canaries, f"{where}, deeper", depth - 1)
    return Sequence([item])


def graphics(dataset: Dataset, canaries: Canaries, where: str) -> None:
    """Overlays (60xx), retired curves (50xx), and a private group with creator and one without."""
    for group in (0x6000, 0x6002):
        for element, vr, value in [
            (0x0010, "US", 4), (0x0011, "US", 64), (0x0040, "CS", "G"), (0x0050, "SS", [1, 1]),
            (0x0100, "US", 1), (0x0102, "US", 0),
            (0x0022, "LO", canaries.text(f"{where}: OverlayDescription")),
            (0x1500, "LO", canaries.text(f"{where}: OverlayLabel")),
            (0x4000, "LT", canaries.text(f"{where}: OverlayComments")),
            (0x3000, "OW", canaries.text(f"{where}: OverlayData").encode().ljust(32)),
        ]:  # fmt: skip
            dataset.add(DataElement(group << 16 | element, vr, value))
    for element, vr in [(0x0022, "LO"), (0x2500, "LO"), (0x3000, "OB"), (0x0040, "SH")]:
        dataset.add(DataElement(0x50000000 | element, vr, canaries.value(vr, f"{where}: curve")))
    block = dataset.private_block(0x0011, canaries.text(f"{where}: private creator"), create=True)
    for offset, vr in enumerate(("LO", "UN", "PN", "UT", "UI", "OB", "LT"), start=1):
        block.add_new(offset, vr, canaries.value(vr, f"{where}: private {vr}"))
    block.add_new(0x40, "SQ", nested(canaries, f"{where}: private sequence", 2))
    dataset.add(DataElement(0x00131001, "UN", canaries.text(f"{where}: private without creator").encode() + b" "))


def envelope(dataset: Dataset, canaries: Canaries, where: str) -> None:
    """The preamble, file meta information, and the padding after the pixel data."""
    dataset.preamble = (canaries.text(f"{where}: preamble") + " ").encode().ljust(128, b"!")
    meta = dataset.file_meta
    meta.SourceApplicationEntityTitle = canaries.text(f"{where}: source AE")
    meta.SendingApplicationEntityTitle = canaries.text(f"{where}: sending AE")
    meta.ImplementationVersionName = canaries.text(f"{where}: implementation")
    meta.ImplementationClassUID = canaries.uid(f"{where}: implementation")
    meta.PrivateInformationCreatorUID = canaries.uid(f"{where}: private information")
    meta.PrivateInformation = canaries.value("OB", f"{where}: private information")
    dataset.add(DataElement(0xFFFCFFFC, "OB", canaries.value("OB", f"{where}: DataSetTrailingPadding")))


def commented_jpeg_ls(dataset: Dataset, canaries: Canaries) -> None:
    """A comment (COM marker, ITU-T T.87 C.2.4.1.3) in the code stream."""
    (stream,) = generate_frames(dataset.PixelData, number_of_frames=1)
    comment = canaries.text("comment in JPEG-LS").encode()
    marked = stream[:2] + b"\xff\xfe" + struct.pack(">H", 2 + len(comment)) + comment + stream[2:]
    dataset.PixelData = encapsulate([marked + b"\0" * (len(marked) % 2)])


def commented_jpeg(dataset: Dataset, canaries: Canaries, pixels: np.ndarray) -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = canaries.text("ImageDescription in EXIF")
    Image.fromarray(pixels).save(
        buffer, "JPEG", quality=95, comment=canaries.text("comment in JPEG").encode(), exif=exif.tobytes()
    )
    content = buffer.getvalue()
    dataset.PixelData = encapsulate([content + b"\0" * (len(content) % 2)])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit


def image(seed: int, *, positive: bool, bits: int = 12) -> np.ndarray:
    """A 64 x 64 image; a positive one has a bright block."""
    pixels = chest(seed, 64, 64, bits) // 2
    if positive:
        pixels[8:24, 8:24] += np.array(2 ** (bits - 1) - 1, pixels.dtype)
    return pixels


@dataclass
class Delivery:
    """Folders of DICOM and a table of labels, as a hospital sends them."""

    root: Path
    canaries: Canaries = field(default_factory=Canaries)
    labels: list[dict[str, str]] = field(default_factory=list)
    refused: int = 0

    def batch(self, name: str) -> Path:
        return self.root / f"{PREFIX}^FOLDER" / name

    def table(self) -> Path:
        return self.root / f"{PREFIX}_labels.csv"

    def write_labels(self) -> None:
        with self.table().open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(self.labels[0]))
            writer.writeheader()
            writer.writerows(self.labels)

    def patient(self, batch: str, number: int, *, positive: bool) -> None:
        """One image of one patient, accepted; every fifth holds a name in each attribute of the dictionary."""
        canaries, where = self.canaries, f"patient {number} of {batch}"
        bits = 8 if number % 7 == 0 else 12
        pixels = image(number, positive=positive, bits=bits)
        syntax = JPEGLSLossless if bits == 8 else SYNTAXES[number % len(SYNTAXES)]
        folder = self.batch(batch) / canaries.text("folder", "^ÄÖ") / f"{canaries.text('folder')} study"
        path = folder / canaries.text("file name", '"\n.dcm' if number % 2 else "")
        kept = KEPT if number % 2 else {key: canaries.text(f"{where}: {key}") for key in KEPT}
        charset, foreign = list(CHARSETS.items())[number % len(CHARSETS)]
        dataset = make_dicom(path, pixels, transfer_syntax=syntax, BitsStored=bits, **kept)
        dataset.SpecificCharacterSet = list(charset) if len(charset) > 1 else charset[0]
        if number % 9 == 8:
            dataset.SpecificCharacterSet = canaries.text(f"{where}: SpecificCharacterSet")
            foreign = ""
        dataset.PatientName = canaries.text(f"{where}: PatientName", f"^{foreign}")
        self.identify(dataset, where)
        fill(dataset, canaries, where, every=number % 5 == 0)
        graphics(dataset, canaries, where)
        if bits == 8 and number % 2:
            commented_jpeg(dataset, canaries, pixels)
        elif syntax == JPEGLSLossless:
            commented_jpeg_ls(dataset, canaries)
        if number % 11 == 10 and syntax == ExplicitVRLittleEndian:
            dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        envelope(dataset, canaries, where)
        save(path, dataset)
        if number % 3 == 0:
            with path.open("ab") as file:
                file.write(canaries.text(f"{where}: after the last element").encode())
        self.labels.append(
            {
                "PatientID": str(dataset.PatientID),
                "label": "positive" if positive else "normal",
                "PatientName": canaries.text("label table: name"),
                "remark": canaries.text("label table: remark", "; " + FOREIGN[3]),
            }
        )

    def identify(self, dataset: Dataset, where: str) -> None:
        for keyword in IDENTITY[:3]:
            setattr(dataset, keyword, self.canaries.uid(f"{where}: {keyword}"))
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.PatientID = self.canaries.text(f"{where}: PatientID")
        dataset.AccessionNumber = self.canaries.text(f"{where}: AccessionNumber")
        dataset.InstitutionName = self.canaries.text(f"{where}: InstitutionName")
        dataset.PatientBirthDate, dataset.StudyDate, dataset.StudyTime = BIRTH, STUDY, NUMBERS["TM"]

    def refuse(self, batch: str) -> None:
        """Files that are not accepted, of every kind that is quickly made: what is said of them is the usual leak."""
        for name, make in REFUSED.items():
            folder = self.batch(batch) / "refused" / self.canaries.text(f"folder of {name}")
            path = folder / self.canaries.text(f"file name of {name}", f"^{name}")
            folder.mkdir(parents=True)
            make(self, path)
            self.refused += 1

    def sound(self, path: Path, where: str, syntax: str = ExplicitVRLittleEndian, **attributes: object) -> Dataset:
        """A file that would be accepted, to be spoilt."""
        dataset = make_dicom(path, image(5, positive=False), transfer_syntax=syntax, BitsStored=12, **attributes)
        self.identify(dataset, where)
        fill(dataset, self.canaries, where, every=False)
        graphics(dataset, self.canaries, where)
        save(path, dataset)
        return dataset


def save(path: Path, dataset: Dataset) -> None:
    with config.disable_value_validation():
        dataset.save_as(path, enforce_file_format=True)


def _text(delivery: Delivery, path: Path) -> None:
    path.write_text(delivery.canaries.text("text file", ", thorax p.a., " + "".join(FOREIGN)), encoding="utf-8")


def _cut(delivery: Delivery, path: Path) -> None:
    delivery.sound(path, "file cut short")
    path.write_bytes(path.read_bytes()[:-900])


def _cut_in_header(delivery: Delivery, path: Path) -> None:
    delivery.sound(path, "file cut in its header")
    path.write_bytes(path.read_bytes()[:700])


def _without(keyword: str) -> Callable[[Delivery, Path], None]:
    def make(delivery: Delivery, path: Path) -> None:
        dataset = delivery.sound(path, f"file without {keyword}")
        setattr(dataset, keyword, "")
        save(path, dataset)

    return make


def _with(keyword: str, vr: str) -> Callable[[Delivery, Path], None]:
    """A value that is not of its kind, where the kind matters."""

    def make(delivery: Delivery, path: Path) -> None:
        dataset = delivery.sound(path, f"file with a text as {keyword}")
        with config.disable_value_validation():
            dataset.add(DataElement(keyword, vr, delivery.canaries.value(vr, keyword)))
            dataset[keyword].VR = vr
        save(path, dataset)

    return make


def _strange_number(delivery: Delivery, path: Path) -> None:
    """A name where a decimal string should be: pydicom's error quotes it."""
    delivery.sound(path, "file with a name as NumberOfFrames", NumberOfFrames=1)
    name = delivery.canaries.text("NumberOfFrames").encode() + b" "
    name += b" " * (len(name) % 2)
    element = b"\x28\x00\x08\x00IS" + struct.pack("<H", 2) + b"1 "
    content = path.read_bytes()
    assert element in content
    path.write_bytes(content.replace(element, b"\x28\x00\x08\x00IS" + struct.pack("<H", len(name)) + name))


def _strange_window(delivery: Delivery, path: Path) -> None:
    """As above, where only preprocess looks."""
    delivery.sound(path, "file with a name as WindowCenter", WindowCenter="1000", WindowWidth="2000")
    name = delivery.canaries.text("WindowCenter").encode()
    name += b" " * (len(name) % 2)
    element = b"\x28\x00\x50\x10DS" + struct.pack("<H", 4) + b"1000"
    content = path.read_bytes()
    assert element in content
    path.write_bytes(content.replace(element, b"\x28\x00\x50\x10DS" + struct.pack("<H", len(name)) + name))


def _strange_syntax(delivery: Delivery, path: Path) -> None:
    dataset = delivery.sound(path, "file with a transfer syntax of its own")
    syntax = UID(delivery.canaries.uid("TransferSyntaxUID"))
    content = path.read_bytes()
    old = str(dataset.file_meta.TransferSyntaxUID).encode()
    new = str(syntax).encode()
    head = b"\x02\x00\x10\x00UI"
    start = content.index(head)
    length = struct.unpack("<H", content[start + 6 : start + 8])[0]
    assert content[start + 8 :].startswith(old)
    new += b"\0" * (len(new) % 2)
    path.write_bytes(content[:start] + head + struct.pack("<H", len(new)) + new + content[start + 8 + length :])


def _spoilt_stream(syntax: str) -> Callable[[Delivery, Path], None]:
    def make(delivery: Delivery, path: Path) -> None:
        dataset = delivery.sound(path, f"file with a spoilt stream of {UID(syntax).name}", syntax)
        (stream,) = generate_frames(dataset.PixelData, number_of_frames=1)
        stream, name = stream.rstrip(b"\0"), delivery.canaries.text("spoilt stream").encode()
        middle = len(stream) // 3
        spoilt = stream[:middle] + name * ((len(stream) - middle) // len(name)) + stream[-2:]
        dataset.PixelData = encapsulate([spoilt + b"\0" * (len(spoilt) % 2)])
        save(path, dataset)

    return make


def _report(delivery: Delivery, path: Path) -> None:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = BasicTextSRStorage
    delivery.identify(dataset, "report")
    fill(dataset, delivery.canaries, "report", every=False)
    dataset.ContentSequence = nested(delivery.canaries, "report", 4)
    save(path, dataset)


def _duplicate(delivery: Delivery, path: Path) -> None:
    source = next(file for file in sorted(path.parents[2].rglob("*")) if file.is_file() and "refused" not in file.parts)
    shutil.copy(source, path)


def _conflicting(delivery: Delivery, path: Path) -> None:
    _duplicate(delivery, path)
    with path.open("ab") as file:
        file.write(delivery.canaries.text("conflicting duplicate").encode())


def _burned_in(delivery: Delivery, path: Path) -> None:
    delivery.sound(path, "burned in", BurnedInAnnotation="YES", Modality="SC")


def _archive(delivery: Delivery, path: Path) -> None:
    """An image in a zip archive, where names are of members, and comments are free text."""
    inner = path.with_name("inner")
    delivery.sound(inner, "file in an archive", PatientID="")
    dataset = delivery.sound(inner, "file in an archive")
    dataset.PatientID = ""
    save(inner, dataset)
    with zipfile.ZipFile(path.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = delivery.canaries.text("archive's comment").encode()
        archive.write(inner, f"{delivery.canaries.text('folder in archive')}/{delivery.canaries.text('member')}")
    inner.unlink()


REFUSED: dict[str, Callable[[Delivery, Path], None]] = {
    "text": _text,
    "nothing": lambda _, path: path.touch(),
    "cut": _cut,
    "cut in header": _cut_in_header,
    "no patient": _without("PatientID"),
    "no study": _without("StudyInstanceUID"),
    "no instance": _without("SOPInstanceUID"),
    "photometric": _with("PhotometricInterpretation", "CS"),
    "frames": _strange_number,
    "window": _strange_window,
    "syntax": _strange_syntax,
    "JPEG-LS": _spoilt_stream(JPEGLSLossless),
    "JPEG 2000": _spoilt_stream(JPEG2000Lossless),
    "report": _report,
    "same": _duplicate,
    "conflicting": _conflicting,
    "burned in": _burned_in,
    "archive": _archive,
}
