from io import BytesIO
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.encaps import get_frame
from pydicom.uid import HTJ2KLossless, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless

from stages.preprocess import codecs, reduced
from stages.preprocess.convert import Converter, Item
from stages.preprocess.params import PreprocessParams
from tests.dicom_files import Encoder, chest, make_dicom

SMALLER = [JPEG2000Lossless, HTJ2KLossless, JPEGBaseline8Bit]


def j2k(levels: int) -> Encoder:
    return lambda image, bits: bytes(
        imagecodecs.jpeg2k_encode(image, codecformat="j2k", reversible=True, bitspersample=bits, resolutions=levels + 1)
    )


def smooth(bits: int, height: int = 512, width: int = 384) -> np.ndarray:
    return cv2.GaussianBlur(chest(1, height, width, bits), (0, 0), 4)


def decode(path: Path, syntax: str, size: int) -> codecs.Frame:
    return next(codecs.Source.of(BytesIO(path.read_bytes()), syntax, 1, size).frames([0]))


def near(found: np.ndarray, image: np.ndarray, syntax: str) -> None:
    """Within a grey level, of 256, of the mean around each sample: wavelets keep those of even rows and columns."""
    power = round(np.log2(len(image) / len(found)))
    if syntax == JPEGBaseline8Bit:
        below, beside = (-side % 2**power for side in image.shape)  # the last blocks are whole
        whole = cv2.copyMakeBorder(image, 0, below, 0, beside, cv2.BORDER_REPLICATE)
        mean = cv2.resize(whole.astype(np.float32), found.shape[::-1], interpolation=cv2.INTER_AREA)
    else:
        around = 2**power + 1 if power else 1
        mean = cv2.blur(image.astype(np.float32), (around, around))[:: 2**power, :: 2**power]
    apart = np.abs(found - mean) * (256 / (int(image.max()) - int(image.min()) + 1))
    assert apart.mean() < 1
    assert apart.max() < 10


@pytest.mark.parametrize(("size", "power"), [(512, 0), (257, 0), (256, 1), (100, 2), (64, 3), (16, 3)])
@pytest.mark.parametrize("syntax", SMALLER)
def test_the_smallest_picture_that_is_large_enough(syntax: str, size: int, power: int, tmp_path: Path) -> None:
    image = smooth(8 if syntax == JPEGBaseline8Bit else 12)
    make_dicom(tmp_path / "a", image, transfer_syntax=syntax, BitsStored=8 if syntax == JPEGBaseline8Bit else 12)

    frame = decode(tmp_path / "a", syntax, size)

    assert frame.stored.shape == (512 >> power, 384 >> power)
    assert frame.decoder.endswith(f" at 1/{2**power}") == (power > 0)
    near(frame.values, image, syntax)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("syntax", [JPEG2000Lossless, HTJ2KLossless])
def test_bits_and_sign_are_those_of_the_full_decode(syntax: str, bits: int, signed: bool, tmp_path: Path) -> None:
    image = smooth(bits)
    if signed:
        image = (image.astype(int) - 2 ** (bits - 1)).astype(f"i{image.dtype.itemsize}")
    make_dicom(tmp_path / "a", image, transfer_syntax=syntax, BitsStored=bits)

    frame = decode(tmp_path / "a", syntax, 128)

    assert frame.values.shape == (128, 96)
    assert frame.values.dtype == image.dtype
    near(frame.values, image, syntax)


@pytest.mark.parametrize("syntax", SMALLER)
@pytest.mark.parametrize("shape", [(511, 385), (513, 383), (250, 999)])
def test_sides_that_do_not_divide_evenly(syntax: str, shape: tuple[int, int], tmp_path: Path) -> None:
    image = smooth(8, *shape)
    make_dicom(tmp_path / "a", image, transfer_syntax=syntax)

    found = decode(tmp_path / "a", syntax, 64).values

    assert found.shape in {reduced.sides(shape, power) for power in range(4)}
    near(found, image, syntax)


@pytest.mark.parametrize("levels", [0, 1, 2])
def test_a_stream_of_few_levels_is_decoded_at_what_it_has(levels: int, tmp_path: Path) -> None:
    image = smooth(12)
    make_dicom(tmp_path / "a", image, transfer_syntax=JPEG2000Lossless, encoder=j2k(levels), BitsStored=12)

    assert decode(tmp_path / "a", JPEG2000Lossless, 16).stored.shape == (512 >> levels, 384 >> levels)


def test_what_holds_no_smaller_picture_is_decoded_whole(tmp_path: Path) -> None:
    image = smooth(12)
    make_dicom(tmp_path / "a", image, transfer_syntax=JPEGLSLossless, BitsStored=12)
    colour = np.repeat(smooth(8)[..., np.newaxis], 3, axis=-1)
    make_dicom(tmp_path / "b", colour, transfer_syntax=JPEG2000Lossless, PhotometricInterpretation="RGB")

    assert np.array_equal(decode(tmp_path / "a", JPEGLSLossless, 16).values, image)
    assert np.array_equal(decode(tmp_path / "b", JPEG2000Lossless, 16).values, colour)


@pytest.mark.parametrize("name", ["693_J2KI", "J2K_pixelrep_mismatch", "JPEG2000", "MR_small_jp2klossless"])
def test_real_streams_of_one_sign_and_another(name: str) -> None:
    path = Path(pydicom.__file__).parent / f"data/test_files/{name}.dcm"
    dataset = pydicom.dcmread(path)
    syntax = dataset.file_meta.TransferSyntaxUID
    whole, half = (decode(path, syntax, size).values for size in (0, max(dataset.Rows, dataset.Columns) // 2))

    levels = reduced.power(syntax, get_frame(dataset.PixelData, 0, number_of_frames=1), whole.shape, 16)
    assert half.shape == reduced.sides(whole.shape, min(levels, 1))
    assert half.dtype == whole.dtype
    assert abs(float(half.mean()) - float(whole.mean())) < 0.01 * np.ptp(whole.astype(int))


def test_images_are_alike_off_by_default_and_recorded(tmp_path: Path) -> None:
    make_dicom(tmp_path / "a", smooth(12), transfer_syntax=HTJ2KLossless, BitsStored=12)
    item = Item(0, str(tmp_path / "a"), "key", HTJ2KLossless, 1)

    full, small = (Converter(PreprocessParams(size=100, **how))(item)[0] for how in ({}, {"decode": "reduced"}))

    assert full.decoder == codecs.name(HTJ2KLossless)
    assert small.decoder == f"{codecs.name(HTJ2KLossless)} at 1/4"
    assert np.abs(full.pixels.astype(int) - small.pixels).mean() < 1
