from importlib.metadata import version
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from stages.preprocess import codecs
from stages.reasons import Reason, Refused
from tests.dicom_files import chest, make_dicom

LOSSLESS = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    RLELossless,
    JPEGLSLossless,
    JPEG2000Lossless,
]


def baseline(path: Path, image) -> None:
    """A JPEG baseline file, which pydicom does not encode."""
    stream = BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=95)
    dataset = make_dicom(path, image)
    dataset.PixelData = encapsulate([stream.getvalue()])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.save_as(path, enforce_file_format=True)


def cut(path: Path, fraction: float):
    """The dataset with its one compressed frame cut short, and well encapsulated again."""
    dataset = dcmread(path)
    stream = get_frame(dataset.PixelData, 0, number_of_frames=1)
    dataset.PixelData = encapsulate([stream[: int(len(stream) * fraction) // 2 * 2]])
    return dataset


def decode(file: Path | Dataset, syntax: str, *wanted: int, frames: int = 1) -> list[codecs.Frame]:
    """The frames of these numbers, of a file or of what would be one."""
    content = BytesIO(file.read_bytes()) if isinstance(file, Path) else BytesIO()
    if isinstance(file, Dataset):
        file.save_as(content, enforce_file_format=True)
    content.seek(0)
    return list(codecs.Source.of(content, syntax, frames).frames(wanted or (0,)))


def refused(dataset: Path | Dataset, syntax: str) -> Reason:
    with pytest.raises(Refused) as caught:
        decode(dataset, syntax)
    return caught.value.reason


def test_every_syntax_names_an_installed_decoder_that_pydicom_can_use() -> None:
    for syntax, pair in codecs.CODECS.items():
        for samples, codec in zip((1, 3), pair, strict=True):
            assert f"{codec.package} {version(codec.package)}" in codecs.name(syntax, samples)
            if codec.plugin:
                assert codec.plugin in get_decoder(syntax).available_plugins


@pytest.mark.parametrize("syntax", LOSSLESS)
@pytest.mark.parametrize("bits", [8, 12])
def test_lossless_syntaxes_give_back_every_bit_of_every_frame(syntax: str, bits: int, tmp_path: Path) -> None:
    frames = np.stack([chest(seed, bits=bits) for seed in (1, 2, 3)])
    make_dicom(tmp_path / "a", frames, transfer_syntax=syntax, BitsStored=bits)

    for wanted in ((0, 1, 2), (2,), (0, 2)):
        found = decode(tmp_path / "a", syntax, *wanted, frames=3)
        assert np.array_equal([frame.values for frame in found], frames[list(wanted)])


@pytest.mark.parametrize("syntax", [JPEGLSLossless, RLELossless, ExplicitVRLittleEndian])
def test_signed_values_keep_their_sign(syntax: str, tmp_path: Path) -> None:
    image = chest(1).astype(np.int16) - 2000
    make_dicom(tmp_path / "a", image, transfer_syntax=syntax)

    assert np.array_equal(decode(tmp_path / "a", syntax)[0].values, image)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_ybr_comes_back_as_rgb(syntax: str, tmp_path: Path) -> None:
    ybr = np.stack([chest(1, bits=8), np.full((48, 40), 128, np.uint8), np.full((48, 40), 128, np.uint8)], axis=-1)
    make_dicom(tmp_path / "a", ybr, transfer_syntax=syntax, PhotometricInterpretation="YBR_FULL")

    frame = decode(tmp_path / "a", syntax)[0]

    assert frame.photometric == "RGB"
    assert np.array_equal(frame.stored, np.repeat(ybr[..., :1], 3, axis=-1))


def test_jpeg_baseline(tmp_path: Path) -> None:
    image = chest(1, bits=8)
    baseline(tmp_path / "a", image)

    stored = decode(tmp_path / "a", JPEGBaseline8Bit)[0].values

    assert np.abs(stored.astype(int) - image).mean() < 3


@pytest.mark.parametrize("fraction", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless, JPEGBaseline8Bit, RLELossless])
def test_a_stream_cut_short_never_comes_back_as_an_image(syntax: str, fraction: float, tmp_path: Path) -> None:
    if syntax == JPEGBaseline8Bit:
        baseline(tmp_path / "a", chest(1, bits=8))
    else:
        make_dicom(tmp_path / "a", transfer_syntax=syntax)
    reason = refused(cut(tmp_path / "a", fraction), syntax)

    assert reason is (Reason.DECODE_FAILED if syntax == RLELossless else Reason.TRUNCATED)


def test_a_jpeg_lossless_stream_cut_short_never_comes_back_as_an_image(shared_data: Path) -> None:
    path = next((shared_data / "dicom-corpus").glob("*RG2_JPLL.dcm"))  # another library would give 40 % of wrong rows

    assert decode(path, JPEGLosslessSV1)[0].values.any()
    assert refused(cut(path, 0.6), JPEGLosslessSV1) is Reason.TRUNCATED


def test_no_other_decoder_steps_in(tmp_path: Path) -> None:
    baseline(tmp_path / "a", chest(1, bits=8))
    dataset = dcmread(tmp_path / "a")
    dataset.file_meta.TransferSyntaxUID = JPEGLSLossless

    assert get_decoder(JPEGLSLossless).as_array(dataset)[0].any()  # pydicom finds a library that takes it
    assert refused(dataset, JPEGLSLossless) is Reason.DECODE_FAILED


def test_an_unknown_transfer_syntax_is_unsupported() -> None:
    with pytest.raises(Refused) as caught:
        codecs.codec("1.2.840.10008.1.2.4.53")

    assert caught.value.reason is Reason.UNSUPPORTED
    assert "Spectral Selection" in caught.value.detail
