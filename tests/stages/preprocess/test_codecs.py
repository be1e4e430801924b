from importlib.metadata import version
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames, get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from stages.preprocess import codecs
from stages.reasons import Reason, Refused
from tests.dicom_files import Encoder, chest, jpeg_lossless, make_dicom

LOSSLESS = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    RLELossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEG2000Lossless,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
]


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


PAIRS = [(syntax, None) for syntax in LOSSLESS] + [
    (JPEGLossless, jpeg_lossless(predictor)) for predictor in range(2, 8)
]


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize(("syntax", "encoder"), PAIRS)
def test_the_same_image_in_every_lossless_syntax_has_the_same_bits(
    syntax: str, encoder: Encoder | None, bits: int, signed: bool, tmp_path: Path
) -> None:
    image = chest(1, bits=bits)
    if signed:
        image = (image.astype(int) - 2 ** (bits - 1)).astype(f"i{image.dtype.itemsize}")
    make_dicom(tmp_path / "a", image, transfer_syntax=syntax, encoder=encoder, BitsStored=bits)

    values = decode(tmp_path / "a", syntax)[0].values

    assert values.dtype.newbyteorder("=") == image.dtype
    assert np.array_equal(values, image)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_ybr_comes_back_as_rgb(syntax: str, tmp_path: Path) -> None:
    ybr = np.stack([chest(1, bits=8), np.full((48, 40), 128, np.uint8), np.full((48, 40), 128, np.uint8)], axis=-1)
    make_dicom(tmp_path / "a", ybr, transfer_syntax=syntax, PhotometricInterpretation="YBR_FULL")

    frame = decode(tmp_path / "a", syntax)[0]

    assert frame.photometric == "RGB"
    assert np.array_equal(frame.stored, np.repeat(ybr[..., :1], 3, axis=-1))


def test_one_bit_a_pixel_where_frames_do_not_begin_at_a_byte(tmp_path: Path) -> None:
    bits = np.random.default_rng(1).integers(0, 2, (3, 5, 7), np.uint8)
    dataset = make_dicom(tmp_path / "a", bits)
    dataset.PixelData = np.packbits(bits.ravel(), bitorder="little").tobytes()
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 1, 1, 0

    for number in range(3):
        assert np.array_equal(decode(dataset, ExplicitVRLittleEndian, number, frames=3)[0].values, bits[number])


def test_one_bit_a_pixel_in_big_endian_words_is_unsupported(tmp_path: Path) -> None:
    """Whether such words are swapped, writers do not agree on."""
    dataset = make_dicom(tmp_path / "a", np.zeros((16, 16), np.uint8), transfer_syntax=ExplicitVRBigEndian)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 1, 1, 0
    dataset["PixelData"].VR = "OW"

    assert refused(dataset, ExplicitVRBigEndian) is Reason.UNSUPPORTED


def test_eight_bits_in_big_endian_words(tmp_path: Path) -> None:
    image = chest(1, bits=8)
    dataset = make_dicom(tmp_path / "a", image, transfer_syntax=ExplicitVRBigEndian)
    dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").byteswap().tobytes()
    dataset["PixelData"].VR = "OW"

    assert np.array_equal(decode(dataset, ExplicitVRBigEndian)[0].values, image)


def test_chroma_of_every_other_pixel_is_used_for_both(tmp_path: Path) -> None:
    luma, blue, red = (chest(seed, bits=8) for seed in (1, 2, 3))
    full = np.stack([luma, np.repeat(blue[:, ::2], 2, axis=1), np.repeat(red[:, ::2], 2, axis=1)], axis=-1)
    colour = {"PhotometricInterpretation": "YBR_FULL"}
    make_dicom(tmp_path / "a", full, **colour)
    halved = make_dicom(tmp_path / "b", full, **colour)
    halved.PhotometricInterpretation = "YBR_FULL_422"  # PS3.3 section C.7.6.3.1.2: two of Y, Cb, Cr
    pairs = np.stack([luma[:, ::2], luma[:, 1::2], blue[:, ::2], red[:, ::2]], axis=-1)
    halved.PixelData = pairs.tobytes()

    found = decode(halved, ExplicitVRLittleEndian)[0]

    assert np.array_equal(found.stored, decode(tmp_path / "a", ExplicitVRLittleEndian)[0].stored)


@pytest.mark.parametrize("wanted", [(0, 1, 2, 3), (2,)])
def test_frames_are_found_by_an_extended_offset_table(wanted: tuple[int, ...], tmp_path: Path) -> None:
    frames = np.stack([chest(seed) for seed in range(4)])
    dataset = make_dicom(tmp_path / "a", frames, transfer_syntax=JPEGLSLossless)
    streams = list(generate_frames(dataset.PixelData, number_of_frames=4))
    content, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = encapsulate_extended(streams)
    dataset.PixelData = content

    found = decode(dataset, JPEGLSLossless, *wanted, frames=4)

    assert np.array_equal([frame.values for frame in found], frames[list(wanted)])


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize("wanted", [(0, 1, 2, 3), (2,)])
def test_frames_in_several_fragments_each(wanted: tuple[int, ...], table: bool, tmp_path: Path) -> None:
    frames = np.stack([chest(seed) for seed in range(4)])
    dataset = make_dicom(tmp_path / "a", frames, transfer_syntax=JPEGLSLossless)
    streams = list(generate_frames(dataset.PixelData, number_of_frames=4))
    dataset.PixelData = encapsulate(streams, fragments_per_frame=3, has_bot=table)

    found = decode(dataset, JPEGLSLossless, *wanted, frames=4)

    assert np.array_equal([frame.values for frame in found], frames[list(wanted)])


@pytest.mark.parametrize("name", ["T8C0E0", "T8C1E0", "T8C2E0"])
def test_colour_jpeg_ls_in_each_interleave_mode(name: str, shared_data: Path, tmp_path: Path) -> None:
    corpus = shared_data / "dicom-corpus"
    stream = next(corpus.glob(f"*{name}.JLS")).read_bytes()
    dataset = make_dicom(tmp_path / "a", np.zeros((256, 256, 3), np.uint8), PhotometricInterpretation="RGB")
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEGLSLossless

    found = decode(dataset, JPEGLSLossless)[0]

    assert found.photometric == "RGB"
    assert np.array_equal(found.stored, imagecodecs.jpegls_decode(next(corpus.glob("*T8C2E0.JLS")).read_bytes()))


def test_fragments_are_never_taken_for_pixels(tmp_path: Path) -> None:
    native = make_dicom(tmp_path / "a", preamble=False)  # implicit or explicit, the length stands before the value
    content = bytearray((tmp_path / "a").read_bytes())
    at = content.index(native.PixelData)
    content[at - 4 :] = b"\xff" * 4 + encapsulate([native.PixelData])  # long enough: item headers would be pixels
    (tmp_path / "a").write_bytes(content)
    assert refused(tmp_path / "a", ExplicitVRLittleEndian) is Reason.DECODE_FAILED

    make_dicom(tmp_path / "b", transfer_syntax=RLELossless)
    content = bytearray((tmp_path / "b").read_bytes())
    at = content.index(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff") + 8
    content[at : at + 4] = (len(content) - at - 4).to_bytes(4, "little")
    (tmp_path / "b").write_bytes(content)
    assert refused(tmp_path / "b", RLELossless) is Reason.DECODE_FAILED


def test_values_in_the_high_bits_are_not_taken_for_values_in_the_low_bits(tmp_path: Path) -> None:
    dataset = make_dicom(tmp_path / "a", chest(1) << 4, BitsStored=12)
    dataset.HighBit = 15

    assert refused(dataset, ExplicitVRLittleEndian) is Reason.UNSUPPORTED


def test_jpeg_baseline(tmp_path: Path) -> None:
    image = chest(1, bits=8)
    make_dicom(tmp_path / "a", image, transfer_syntax=JPEGBaseline8Bit)

    stored = decode(tmp_path / "a", JPEGBaseline8Bit)[0].values

    assert np.abs(stored.astype(int) - image).mean() < 3


@pytest.mark.parametrize("fraction", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless, JPEGBaseline8Bit, RLELossless])
def test_a_stream_cut_short_never_comes_back_as_an_image(syntax: str, fraction: float, tmp_path: Path) -> None:
    make_dicom(tmp_path / "a", chest(1, bits=8), transfer_syntax=syntax)
    reason = refused(cut(tmp_path / "a", fraction), syntax)

    assert reason is (Reason.DECODE_FAILED if syntax == RLELossless else Reason.TRUNCATED)


def test_a_jpeg_lossless_stream_cut_short_never_comes_back_as_an_image(shared_data: Path) -> None:
    path = next((shared_data / "dicom-corpus").glob("*RG2_JPLL.dcm"))  # another library would give 40 % of wrong rows

    assert decode(path, JPEGLosslessSV1)[0].values.any()
    assert refused(cut(path, 0.6), JPEGLosslessSV1) is Reason.TRUNCATED


def test_no_other_decoder_steps_in(tmp_path: Path) -> None:
    make_dicom(tmp_path / "a", chest(1, bits=8), transfer_syntax=JPEGBaseline8Bit)
    dataset = dcmread(tmp_path / "a")
    dataset.file_meta.TransferSyntaxUID = JPEGLSLossless

    assert get_decoder(JPEGLSLossless).as_array(dataset)[0].any()  # pydicom finds a library that takes it
    assert refused(dataset, JPEGLSLossless) is Reason.DECODE_FAILED


def test_an_unknown_transfer_syntax_is_unsupported() -> None:
    with pytest.raises(Refused) as caught:
        codecs.codec("1.2.840.10008.1.2.4.53")

    assert caught.value.reason is Reason.UNSUPPORTED
    assert "Spectral Selection" in caught.value.detail
