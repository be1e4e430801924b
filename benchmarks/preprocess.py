"""From a DICOM file to its small grey image: radrepro beside the bare codec and one antialiased resize.

    python benchmarks/preprocess.py [pixels on a side] [rounds]

The image is a radiograph of 5 megapixels and 12 bits (8 for JPEG baseline), in each transfer syntax. The bare loop has
the compressed frame in memory (uncompressed: reads the file), knows its shape and sign, and calls the codec's library;
it neither parses, windows nor hashes. pydicom is what its documentation shows: pixel_array, both LUTs; then a resize.
Rounds alternate; the ratio is that of the medians. The second table is radrepro with `decode: reduced` beside itself.
"""

import argparse
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
from pydicom import dcmread, uid
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from rle.utils import decode_pixel_data

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from stages.preprocess.convert import Converter, Item  # noqa: E402
from stages.preprocess.params import PreprocessParams  # noqa: E402
from stages.runtime import keep_memory  # noqa: E402
from tests.dicom_files import make_dicom  # noqa: E402

ROWS, COLUMNS = 2560, 2048


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("size", nargs="?", type=int, default=224)
    parser.add_argument("rounds", nargs="?", type=int, default=7)
    size, rounds = vars(parser.parse_args()).values()
    warnings.simplefilter("ignore")
    cv2.setNumThreads(1)
    keep_memory()  # for everyone, as the stage's processes do
    folder = Path(tempfile.mkdtemp())
    converter, reduced = (Converter(PreprocessParams(size=size, decode=how)) for how in ("full", "reduced"))
    smaller = []
    print(f"| transfer syntax | bare, ms | radrepro, ms | ratio | pydicom, ms | pydicom / radrepro |\n{'|---' * 6}|")
    for name, (syntax, encode, decode) in SYNTAXES.items():
        path = folder / name
        image = radiograph(8 if syntax == uid.JPEGBaseline8Bit else 12)
        write(path, image, syntax, encode)
        stream = frame(path, syntax)
        item = Item(0, str(path), "key", syntax, 1)
        bare, ours, theirs = medians(
            rounds,
            lambda: cv2.resize(decode(stream), (size, size), interpolation=cv2.INTER_AREA),  # noqa: B023
            lambda: made(converter(item)),  # noqa: B023
            lambda: pydicom_alone(path, size),  # noqa: B023
        )
        print(f"| {name} | {bare:.1f} | {ours:.1f} | {ours / bare:.2f} | {theirs:.1f} | {theirs / ours:.1f} |")
        scale = reduced(item)[0].decoder.partition(" at ")[2]
        if scale:
            times = medians(rounds, lambda: made(converter(item)), lambda: made(reduced(item)))  # noqa: B023
            smaller.append((name, scale, *times))
    print(f"\n| transfer syntax | at | full, ms | reduced, ms | full / reduced |\n{'|---' * 5}|")
    for name, scale, full, less in smaller:
        print(f"| {name} | {scale} | {full:.1f} | {less:.1f} | {full / less:.1f} |")


def radiograph(bits: int) -> np.ndarray:
    """A smooth body with the noise of a detector: codecs live on what noise leaves."""
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[0:ROWS, 0:COLUMNS].astype(np.float32)
    body = np.exp(-4 * ((rows / ROWS - 0.5) ** 2 + (columns / COLUMNS - 0.5) ** 2)) + 0.1 * np.sin(rows / 40)
    body = 0.1 + 0.8 * (body - body.min()) / np.ptp(body)
    noisy = body * (2**bits - 1) + rng.normal(0, 2 ** (bits - 9), body.shape)
    return np.rint(noisy.clip(0, 2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)  # noqa: PLR2004


def raw(path: Path) -> np.ndarray:
    """What stands for a codec where there is none: to read the pixels."""
    pixels = ROWS * COLUMNS
    return np.fromfile(path, np.uint16, pixels, offset=path.stat().st_size - 2 * pixels).reshape(ROWS, COLUMNS)


def unrle(stream: bytes) -> np.ndarray:
    decoded = decode_pixel_data(stream, version=2, rows=ROWS, columns=COLUMNS, bits_allocated=16, rle_byteorder="<")
    return np.frombuffer(decoded, np.uint16).reshape(ROWS, COLUMNS)


SYNTAXES: dict[str, tuple[str, Callable | None, Callable]] = {
    "uncompressed": (uid.ExplicitVRLittleEndian, None, raw),
    "RLE": (uid.RLELossless, None, unrle),
    "JPEG baseline": (uid.JPEGBaseline8Bit, imagecodecs.jpeg8_encode, imagecodecs.jpeg8_decode),
    "JPEG lossless SV1": (
        uid.JPEGLosslessSV1,
        lambda image: imagecodecs.jpeg8_encode(image, lossless=True, predictor=1, bitspersample=12),
        imagecodecs.jpeg8_decode,
    ),
    "JPEG-LS": (uid.JPEGLSLossless, None, imagecodecs.jpegls_decode),
    "JPEG 2000": (uid.JPEG2000Lossless, None, imagecodecs.jpeg2k_decode),
    "HTJ2K": (
        uid.HTJ2KLossless,
        lambda image: imagecodecs.htj2k_encode(image, reversible=True),
        imagecodecs.htj2k_decode,
    ),
}


def write(path: Path, image: np.ndarray, syntax: str, encode: Callable | None) -> None:
    bits = 8 * image.dtype.itemsize if image.dtype == np.uint8 else 12
    window = {"BitsStored": bits, "WindowCenter": 2 ** (bits - 1), "WindowWidth": 2**bits * 0.8}
    if encode is None:
        make_dicom(path, image, transfer_syntax=syntax, **window)
        return
    dataset = make_dicom(path, image, **window)
    dataset.PixelData = encapsulate([encode(image)])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(path, enforce_file_format=True)


def frame(path: Path, syntax: str) -> bytes | Path:
    return path if syntax == uid.ExplicitVRLittleEndian else get_frame(dcmread(path).PixelData, 0, number_of_frames=1)


def pydicom_alone(path: Path, size: int) -> np.ndarray:
    dataset = dcmread(path)
    values = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    unit = (values - values.min()) / np.ptp(values)
    return cv2.resize(unit, (size, size), interpolation=cv2.INTER_AREA)


def made(result: object) -> None:
    assert isinstance(result, list), result


def medians(rounds: int, *contenders: Callable[[], object]) -> list[float]:
    """Milliseconds of each, the first round left out."""
    times: list[list[float]] = [[] for _ in contenders]
    for _ in range(rounds + 1):
        for taken, contender in zip(times, contenders, strict=True):
            started = time.perf_counter()
            contender()
            taken.append(1000 * (time.perf_counter() - started))
    return [statistics.median(taken[1:]) for taken in times]


if __name__ == "__main__":
    main()
