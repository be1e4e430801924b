"""Small real DICOM files for tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    generate_uid,
)

NATIVE = {ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian}
Encoder = Callable[[npt.NDArray[Any], int], bytes]
"""Of one frame of so many bits stored."""


def chest(seed: int = 0, height: int = 48, width: int = 40, bits: int = 12) -> npt.NDArray[np.unsignedinteger[Any]]:
    """A smooth image with noise, over the full range of ``bits``."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    centre = rng.uniform(0.3, 0.7, size=2)
    image = np.exp(-8 * ((rows / height - centre[0]) ** 2 + (columns / width - centre[1]) ** 2))
    image = 0.9 * image + 0.1 * rng.random((height, width))
    image = (image - image.min()) / np.ptp(image) * (2**bits - 1)
    return np.rint(image).astype(np.uint8 if bits <= 8 else np.uint16)


def jpeg_lossless(predictor: int) -> Encoder:
    """Of process 14 (ISO 10918-1 table H.1), which knows no sign: the bits stored are a number without one."""

    def encode(image: npt.NDArray[Any], bits: int) -> bytes:
        plain = image.view(f"u{image.dtype.itemsize}") & (2**bits - 1)
        return bytes(imagecodecs.jpeg8_encode(plain, lossless=True, predictor=predictor, bitspersample=bits))

    return encode


def _htj2k(image: npt.NDArray[Any], _: int) -> bytes:
    return bytes(imagecodecs.htj2k_encode(image, reversible=True))


ENCODERS: dict[str, Encoder] = {
    JPEGBaseline8Bit: lambda image, _: bytes(imagecodecs.jpeg8_encode(image, level=95)),
    JPEGLossless: jpeg_lossless(4),
    JPEGLosslessSV1: jpeg_lossless(1),
    HTJ2KLossless: _htj2k,
    HTJ2KLosslessRPCL: _htj2k,
}
"""What pydicom does not encode."""


def make_dicom(
    path: Path,
    pixels: npt.NDArray[Any] | None = None,
    *,
    transfer_syntax: str = ExplicitVRLittleEndian,
    preamble: bool = True,
    encoder: Encoder | None = None,
    **attributes: Any,
) -> Dataset:
    """Write ``pixels`` (H, W), (frames, H, W) or, with a colour ``PhotometricInterpretation``, (..., H, W, 3).

    Identifiers follow from the file's name: two names differ, and the same call writes the same bytes. ``attributes``
    replace what is set here; None removes. Compressed syntaxes: those that pydicom encodes (RLE, JPEG-LS, JPEG 2000),
    and those of ``ENCODERS``; or whatever ``encoder`` makes of each frame.
    """
    pixels = chest() if pixels is None else pixels
    photometric = attributes.get("PhotometricInterpretation", "MONOCHROME2")
    samples = 1 if photometric.startswith(("MONOCHROME", "PALETTE")) else 3
    *frames, height, width = pixels.shape if samples == 1 else pixels.shape[:-1]

    name = ascii(path.name)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=["instance", name])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=["series", name])
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=["study", name])
    dataset.PatientID = f"patient of {name}"
    dataset.Modality = "DX"
    dataset.PhotometricInterpretation = photometric
    dataset.SamplesPerPixel = samples
    if samples == 3:
        dataset.PlanarConfiguration = 0
    if frames:
        dataset.NumberOfFrames = frames[0]
    dataset.Rows, dataset.Columns = height, width
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.dtype.itemsize
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    for keyword, value in attributes.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.HighBit = dataset.BitsStored - 1
    order = ">" if transfer_syntax == ExplicitVRBigEndian else "<"
    content = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    dataset.PixelData = content + b"\0" * (len(content) % 2)
    dataset["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    _compress(dataset, pixels if frames else pixels[np.newaxis], transfer_syntax, encoder)
    for keyword, value in attributes.items():
        if value is None and keyword in dataset:
            del dataset[keyword]

    path.parent.mkdir(parents=True, exist_ok=True)
    implicit, little = transfer_syntax == ImplicitVRLittleEndian, transfer_syntax != ExplicitVRBigEndian
    if preamble:
        dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", "1.2.3")
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID") or "1.2.3"
        dataset.save_as(path, enforce_file_format=True)
    else:
        del dataset.file_meta
        dataset.save_as(path, implicit_vr=implicit, little_endian=little)
    return dataset


def _compress(dataset: Dataset, frames: npt.NDArray[Any], transfer_syntax: str, encoder: Encoder | None) -> None:
    if encoder := encoder or ENCODERS.get(transfer_syntax):
        dataset.PixelData = encapsulate([encoder(frame, dataset.BitsStored) for frame in frames])
        dataset["PixelData"].is_undefined_length = True
    if encoder or transfer_syntax in NATIVE:
        dataset.file_meta.TransferSyntaxUID = transfer_syntax
    else:
        dataset.compress(transfer_syntax, generate_instance_uid=False)
