"""The size that a compressed frame claims is read before it is decoded, and must be the header's."""

from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom import dcmread
from pydicom.encaps import get_frame
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless

from stages.preprocess import codecs, streams
from stages.reasons import Reason, Refused
from tests.dicom_files import chest, make_dicom

FILES = Path(pydicom.__file__).parent / "data/test_files"
COMPRESSED = [
    "693_J2KI.dcm",
    "MR_small_jp2klossless.dcm",
    "JPGExtended.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "SC_rgb_jls_lossy_line.dcm",
    "SC_rgb_dcmtk_+eb+cr.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
]


@pytest.mark.parametrize("name", COMPRESSED)
def test_every_family_of_streams_tells_its_size(name: str) -> None:
    dataset = dcmread(FILES / name)
    claim = streams.claim(get_frame(dataset.PixelData, 0, number_of_frames=1))
    assert claim == (dataset.Rows, dataset.Columns, dataset.SamplesPerPixel)


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"\xff\xd8\xff", b"\xff\xd8" + b"\xff\xe0\0\0" * 3, b"\xff\x4f\xff\x51\0"]
)
def test_what_is_no_stream_or_has_lost_its_end_has_no_size(content: bytes) -> None:
    assert streams.claim(content) is None


def test_what_follows_the_end_of_a_stream_may_be_zeros_only() -> None:
    stream = bytes(imagecodecs.jpeg8_encode(chest(1, 48, 40, bits=8)))
    expected = streams.Claim(48, 40, 1)
    for padding in (0, 1, 500):
        streams.check(stream + b"\0" * padding, expected)
    for content, reason in (
        (stream + b"\1" * 500, Reason.TRUNCATED),
        (stream[:-20] + b"\0" * 20, Reason.TRUNCATED),
        (stream[2:], Reason.DECODE_FAILED),  # no start
        (bytes(5000), Reason.DECODE_FAILED),  # pixels, not compressed
    ):
        with pytest.raises(Refused) as caught:
            streams.check(content, expected)
        assert caught.value.reason is reason


def test_a_stream_whose_height_follows_its_scan_is_refused() -> None:
    """ISO 10918-1 section B.2.5, DNL: decoders make of it an image without rows, or none."""
    stream = bytearray(imagecodecs.jpeg8_encode(chest(1, 48, 40, bits=8)))
    at = stream.index(b"\xff\xc0") + 5
    stream[at : at + 2] = b"\0\0"
    with pytest.raises(Refused) as caught:
        streams.check(bytes(stream), streams.Claim(48, 40, 1))
    assert caught.value.reason is Reason.DECODE_FAILED


def decode(path: Path, syntax: str) -> codecs.Frame:
    with path.open("rb") as file:
        return next(codecs.Source.of(file, syntax, 1).frames([0]))


def _j2k(content: bytes, height: int, width: int) -> bytes:
    at = content.index(b"\xff\x4f\xff\x51") + 8
    return content[:at] + width.to_bytes(4) + height.to_bytes(4) + content[at + 8 :]


def _jls(content: bytes, height: int, width: int) -> bytes:
    at = content.index(b"\xff\xf7") + 5
    return content[:at] + height.to_bytes(2) + width.to_bytes(2) + content[at + 4 :]


@pytest.mark.parametrize(("syntax", "claim"), [(JPEG2000Lossless, _j2k), (JPEGLSLossless, _jls)])
@pytest.mark.parametrize("size", [(1, 1), (40, 48), (65535, 65535)])
def test_a_stream_of_another_size_than_the_header_says_is_refused(
    syntax: str, claim, size: tuple[int, int], tmp_path: Path
) -> None:
    """One pixel would fill the image with its grey; the same number of pixels in another shape would be sheared."""
    make_dicom(tmp_path / "a", chest(1, 48, 40), transfer_syntax=syntax)
    dataset = dcmread(tmp_path / "a")
    assert np.array_equal(decode(tmp_path / "a", syntax).stored, chest(1, 48, 40))
    dataset.PixelData = claim(dataset.PixelData, *size)
    dataset.save_as(tmp_path / "b", enforce_file_format=True)

    with pytest.raises(Refused) as caught:
        decode(tmp_path / "b", syntax)

    assert caught.value.reason is Reason.DECODE_FAILED
    assert "the stream's size" in caught.value.detail
