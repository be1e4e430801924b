"""Every awkward file through the real code path, against a table that other decoders made (make_reference.py)."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread, uid
from pydicom.pixels.decoders.base import get_decoder

from stages.ingest import header
from stages.preprocess import codecs, reduced
from stages.reasons import Reason, Refused
from tests.stages.preprocess import make_reference as reference

ROWS = reference.rows()
LOSSLESS = {
    uid.RLELossless,
    uid.JPEGLossless,
    uid.JPEGLosslessSV1,
    uid.JPEGLSLossless,
    uid.JPEG2000Lossless,
    uid.HTJ2KLossless,
    uid.HTJ2KLosslessRPCL,
}
CHROMA = 8
"""Grey levels by which sound decoders differ at edges of colour: chroma is halved, and filled in by other filters."""

pytestmark = pytest.mark.filterwarnings("ignore")  # pydicom says much of such files


def of(source: str) -> list[dict[str, str]]:
    return [row for row in ROWS if row["source"] == source]


def made(path: Path) -> tuple[uid.UID, np.ndarray]:
    """The transfer syntax and the values of all frames, as radrepro sees them."""
    with path.open("rb") as file:
        found = header.read(file, path.stat().st_size)
        file.seek(0)
        frames = int(found.get("NumberOfFrames") or 1)
        syntax = found.file_meta.TransferSyntaxUID
        source = codecs.Source.of(file, syntax, frames)
        return syntax, np.stack([frame.values for frame in source.frames(range(frames))])


def outcome(path: Path) -> dict[str, str]:
    """What the table should say."""
    try:
        syntax, values = made(path)
    except Refused as refused:
        return {"outcome": refused.reason.name}
    told = reference.told(values, lossy=syntax in reference.DCT)
    if told["sha256"] == reference.LOSSY:
        compare(path, values)
        told |= dict.fromkeys(["min", "max"], "compared")
    return {"outcome": reference.ACCEPTED, "syntax": syntax.name, **told}


def compare(path: Path, values: np.ndarray) -> None:
    """JPEG's cosine transform leaves rounding to the decoder: a grey level, and more only where colours meet."""
    _, others = reference.decoded(path)
    apart = np.abs(values.astype(int) - others)
    assert apart.max() <= (CHROMA if values.ndim == 4 else 1), path.name
    assert apart.mean() < 0.25, path.name


def expected(row: dict[str, str]) -> dict[str, str]:
    told = {key: row[key] for key in ("outcome", "syntax", "shape", "dtype", "min", "max", "sha256") if row[key]}
    return told | (dict.fromkeys(["min", "max"], "compared") if row["sha256"] == reference.LOSSY else {})


def check(folder: Path, source: str) -> None:
    assert reference.names(folder) == [row["file"] for row in of(source)]
    wrong = [
        (row["file"], found, expected(row))
        for row in of(source)
        if (found := outcome(folder / row["file"])) != expected(row)
    ]
    assert wrong == []


def test_the_table_is_decided_and_of_many_files() -> None:
    outcomes = [row["outcome"] for row in ROWS]
    assert set(outcomes) <= {reference.ACCEPTED, *Reason.__members__}
    assert outcomes.count(reference.ACCEPTED) > 180
    assert len({row["syntax"] for row in ROWS}) > 12


def test_files_of_pydicom() -> None:
    check(reference.FILES, reference.PYDICOM)


def test_files_of_the_corpus(shared_data: Path) -> None:
    check(shared_data / "dicom-corpus", reference.CORPUS)


UNABLE = {
    # Pillow says of these that the stream is broken; OpenJPEG by itself reads them, as others do
    ("pillow", "GDCMJ2K_TextGBR.dcm"),
    ("pillow", "pylibjpeg-data__ljdata__ds__JPEG2000Lossless__JPEG2KLossless_1s_1f_u_16_16.dcm"),
    # its stream is signed and its header is not: Pillow shifts signed values to unsigned ones, and nothing shifts back
    ("pillow", "pylibjpeg-data__ljdata__ds__JPEG2000Lossless__TOSHIBA_J2K_SIZ1_PixRep0.dcm"),
}
"""Decoder and file that do not go together, of those that radrepro does not use."""


def lossless(folder: Path, source: str) -> None:
    """Every decoder that pydicom can find gives the same bits as radrepro's."""
    compared = 0
    for row in of(source):
        path = folder / row["file"]
        if row["outcome"] != reference.ACCEPTED or row["syntax"] not in {syntax.name for syntax in LOSSLESS}:
            continue
        with path.open("rb") as file:
            syntax = dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID
            first = next(codecs.Source.of(file, syntax, int(row["shape"].split("x")[0])).frames([0]))
        for plugin in get_decoder(syntax).available_plugins:
            grey = first.values.ndim == 2
            if (plugin, row["file"]) in UNABLE or (plugin == "imagecodecs" and not grey):  # ours is for one channel
                continue
            if plugin == reduced.NAME:  # of another size, and only when asked
                continue
            values, _ = get_decoder(syntax).as_array(dcmread(path), index=0, decoding_plugin=plugin)
            assert np.array_equal(values, first.values), (row["file"], plugin)
            compared += 1
    assert compared > 15


def test_lossless_decoders_agree_on_files_of_pydicom() -> None:
    lossless(reference.FILES, reference.PYDICOM)


@pytest.mark.slow
def test_lossless_decoders_agree_on_files_of_the_corpus(shared_data: Path) -> None:
    lossless(shared_data / "dicom-corpus", reference.CORPUS)
