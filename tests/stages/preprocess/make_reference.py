"""Make reference.csv: what is in each awkward file, told without radrepro's code and by other decoders than its own.

    python -m tests.stages.preprocess.make_reference ../shared/data/dicom-corpus

Outcome ``accepted``: the file is an image; its shape (frames, rows, columns[, 3]), dtype, lowest and highest value and
the SHA-256 of all its values (C order, little endian) follow from pydicom reading the file whole, with the decoders
named here, and numpy alone for grey pixels that are not compressed. Colour is RGB. ``sha256`` is ``lossy`` where
decoders round apart: the test decodes by both. Every other outcome is the reason (stages/reasons.py) why the file is no
image: it was written by hand after a look at the file, and stays as it is. A new file that does not decode is
``undecided`` until somebody looks. No value of a header is kept but the shape and the transfer syntax.
"""

import argparse
import csv
import hashlib
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pydicom
from pydicom import dcmread, uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.decoders.base import get_decoder

TABLE = Path(__file__).with_name("reference.csv")
FILES = Path(pydicom.__file__).parent / "data/test_files"
COLUMNS = ["source", "file", "syntax", "outcome", "shape", "dtype", "min", "max", "sha256"]
PYDICOM, CORPUS = "pydicom", "dicom-corpus"
ACCEPTED, UNDECIDED, LOSSY = "accepted", "undecided", "lossy"

Values = npt.NDArray[np.integer[Any]]

GREY = {  # radrepro has pylibjpeg for RLE, and for the others CharLS, libjpeg-turbo, OpenJPEG, OpenJPH by imagecodecs
    uid.RLELossless: "pydicom",
    uid.JPEGBaseline8Bit: "pylibjpeg",  # Thomas Richter's libjpeg, no relation of libjpeg-turbo; it reads JPEG-LS too
    uid.JPEGExtended12Bit: "pylibjpeg",
    uid.JPEGLossless: "pylibjpeg",
    uid.JPEGLosslessSV1: "pylibjpeg",
    uid.JPEGLSLossless: "pylibjpeg",
    uid.JPEGLSNearLossless: "pylibjpeg",
    uid.JPEG2000Lossless: "pylibjpeg",  # OpenJPEG as well, built by others: no free decoder beside it is maintained
    uid.JPEG2000: "pylibjpeg",
    uid.HTJ2KLossless: "pylibjpeg",
    uid.HTJ2KLosslessRPCL: "pylibjpeg",
    uid.HTJ2K: "pylibjpeg",
}
COLOUR: dict[str, str | Callable[[bytes], Any]] = {  # where radrepro has pylibjpeg or Pillow
    **GREY,
    uid.JPEGExtended12Bit: "pillow",
    uid.JPEGLossless: imagecodecs.jpeg8_decode,  # called bare, it gives (H, W, 3) as stored, which here is RGB
    uid.JPEGLosslessSV1: imagecodecs.jpeg8_decode,
    uid.JPEG2000Lossless: imagecodecs.jpeg2k_decode,
    uid.JPEG2000: "pillow",
}
DCT = frozenset([uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit])
"""Whose decoders round apart: by a grey level; by a few in colour, where they also interpolate chroma apart."""


def main() -> None:
    """Write the table anew, with the reasons that stand in it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    folders = {PYDICOM: FILES, CORPUS: parser.parse_args().corpus}
    warnings.simplefilter("ignore")
    reasons = {
        (row["source"], row["file"]): row["outcome"] for row in rows() if row["outcome"] not in {ACCEPTED, UNDECIDED}
    }
    with TABLE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        for source, folder in folders.items():
            for name in names(folder):
                reason = reasons.get((source, name))
                told = {"outcome": reason} if reason else look(folder / name)
                writer.writerow({"source": source, "file": name, **told})


def rows() -> list[dict[str, str]]:
    """The table as it is; empty before the first time."""
    if not TABLE.exists():
        return []
    with TABLE.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def names(folder: Path) -> list[str]:
    """Every file under it, by its path in it."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def look(path: Path) -> dict[str, str]:
    """The columns of one file that need no hand."""
    try:
        syntax, values = decoded(path)
    except Exception as error:  # noqa: BLE001 - undecided for whatever reason: somebody must look
        sys.stderr.write(f"{path.name}: {type(error).__name__}\n")
        return {"outcome": UNDECIDED}
    return {"outcome": ACCEPTED, "syntax": syntax.name, **told(values, lossy=syntax in DCT)}


def told(values: Values, *, lossy: bool) -> dict[str, str]:
    """What the table says of the values of all frames."""
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return {
        "shape": "x".join(map(str, values.shape)),
        "dtype": values.dtype.name,
        "min": str(values.min()),
        "max": str(values.max()),
        "sha256": LOSSY if lossy else hashlib.sha256(little.data).hexdigest(),
    }


def decoded(path: Path) -> tuple[uid.UID, Values]:
    """The transfer syntax, and the values of all frames, (frames, H, W) or (frames, H, W, 3) in RGB."""
    dataset = dcmread(path, force=True)
    syntax = uid.UID(dataset.file_meta.get("TransferSyntaxUID") or _syntax(dataset))
    dataset.file_meta.TransferSyntaxUID = syntax
    samples = dataset.SamplesPerPixel
    shape = (int(dataset.get("NumberOfFrames") or 1), dataset.Rows, dataset.Columns, *([3] if samples > 1 else []))
    if not syntax.is_encapsulated:
        plain = samples == 1 and dataset.BitsAllocated > 1
        return syntax, _plain(dataset, shape) if plain else dataset.pixel_array.reshape(shape)
    decoder = (GREY if samples == 1 else COLOUR)[syntax]
    frames = list(generate_frames(dataset.PixelData, number_of_frames=shape[0]))
    if callable(decoder):
        return syntax, np.stack([decoder(frame) for frame in frames]).reshape(shape)
    if syntax == uid.JPEGExtended12Bit:
        dataset.PixelData = encapsulate([_repaired(frame) for frame in frames])
    values, _ = get_decoder(syntax).as_array(dataset, decoding_plugin=decoder)
    return syntax, values.reshape(shape)


def _syntax(dataset: Dataset) -> str:
    """Of a file that does not say it, what its first elements look like."""
    implicit, little = dataset.original_encoding
    return uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian


def _plain(dataset: Dataset, shape: tuple[int, ...]) -> Values:
    """PS3.5 section 8.1.1 by hand: the low BitsStored bits, with the sign in the highest of them."""
    allocated, stored = dataset.BitsAllocated // 8, dataset.BitsStored
    big = dataset.file_meta.TransferSyntaxUID == uid.ExplicitVRBigEndian
    content = np.frombuffer(dataset.PixelData, f"{'>' if big else '<'}u{allocated}", int(np.prod(shape)))
    values = content.astype(np.int64).reshape(shape) & (2**stored - 1)
    if dataset.PixelRepresentation == 1:
        values = np.where(values >= 2 ** (stored - 1), values - 2**stored, values)
    return values.astype(f"{'i' if dataset.PixelRepresentation == 1 else 'u'}{allocated}")


def _repaired(stream: bytes) -> bytes:
    """With the last coefficient of a sequential scan, which is 63 (ISO 10918-1 table B.3) and some leave at 0."""
    scan = stream.index(b"\xff\xda")
    last = scan + 2 + 3 + 2 * stream[scan + 4] + 1
    return stream[:last] + b"\x3f" + stream[last + 1 :]


if __name__ == "__main__":
    main()
