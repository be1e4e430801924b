import os
import signal
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from stages import runtime
from stages.artifacts import images, index, quarantine
from stages.ingest import __main__ as ingest
from stages.params import read
from stages.preprocess import __main__ as preprocess
from stages.preprocess import convert
from stages.preprocess.params import Most, PreprocessParams
from stages.runtime import UserError
from tests.dicom_files import chest, make_dicom

PARAMETERS = """
ingest: {key_file: k.key, max_quarantined_fraction: 1}
preprocess: {size: 32, frames: {max: 4}, max_quarantined_fraction: 1}
"""


@pytest.fixture
def batch(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one empty batch."""
    (workspace / "params.yaml").write_text(PARAMETERS)
    (workspace / "k.key").write_bytes(b"s" * 64)
    monkeypatch.setattr(sys, "argv", ["stage", "here"])
    monkeypatch.setenv("RADREPRO_WORKERS", "2")
    root = workspace / "data/raw/here"
    root.mkdir(parents=True)
    return root


def both() -> None:
    ingest.main()
    preprocess.main()


def outputs() -> list[bytes]:
    return [path.read_bytes() for path in sorted(images.directory("here").iterdir())]


def stored(**values) -> pd.Series:
    rows = images.rows("here")
    found = rows[np.logical_and.reduce([rows[name] == value for name, value in values.items()])]
    assert len(found) == 1
    return found.iloc[0]


def break_stream(path: Path) -> None:
    """Overwrite the middle of the file: its header and length stay right."""
    content = bytearray(path.read_bytes())
    middle = len(content) - 700
    content[middle : middle + 500] = b"\xff\xd8" * 250
    path.write_bytes(content)


def test_every_accepted_image_is_a_row_in_the_order_of_the_index(batch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syntaxes = [JPEGLSLossless, JPEG2000Lossless, RLELossless]
    for number in range(25):
        make_dicom(batch / f"s{number % 4}" / f"IM{number}", chest(number), transfer_syntax=syntaxes[number % 3])
    both()

    rows, pixels = images.rows("here"), images.pixels("here")
    accepted = index.read("here")
    assert pixels.shape == (25, 32, 32)
    assert pixels.dtype == np.uint8
    assert not pixels.flags.writeable
    assert rows["row"].tolist() == list(range(25))
    assert rows["image"].tolist() == rows["instance"].tolist() == accepted["instance"].tolist()
    pd.testing.assert_frame_equal(rows[accepted.columns.tolist()], accepted)
    assert rows["mean"].to_numpy() == pytest.approx(pixels.mean(axis=(1, 2)), abs=1e-3)
    assert rows["pixel_sha256"].is_unique
    assert rows["perceptual_hash"].str.fullmatch("[0-9a-f]{64}").all()
    assert set(rows["window"]) == {"percentile"}
    assert rows["decoder"].nunique() == 3
    assert rows["border"].between(0, 1).all()

    first = outputs()
    monkeypatch.setenv("RADREPRO_WORKERS", "1")
    preprocess.main()
    assert outputs() == first
    assert sorted(path.name for path in Path("data/images").iterdir()) == ["here"]


def test_what_a_killed_run_left_behind_goes(batch: Path) -> None:
    make_dicom(batch / "a")
    left = images.directory("here").parent / f"{runtime.UNFINISHED}here.ab3_xyz9"
    left.mkdir(parents=True)
    (left / "pixels.npy").write_bytes(b"half")
    both()

    assert [path.name for path in Path("data/images").iterdir()] == ["here"]


def test_frames_of_a_cine_are_evenly_spaced_and_named(batch: Path) -> None:
    cine = np.stack([np.full((40, 40), 10 * number, np.uint8) for number in range(11)])
    window = {"WindowCenter": 127.5, "WindowWidth": 255, "VOILUTFunction": "LINEAR_EXACT"}
    make_dicom(batch / "cine", cine, **window)
    make_dicom(batch / "still", chest(1))
    both()

    rows = images.rows("here")
    cine_rows = rows[rows["frames"] == 11]
    assert cine_rows["frame"].tolist() == [0, 3, 7, 10]
    assert (cine_rows["image"] == cine_rows["instance"] + "-" + cine_rows["frame"].astype(str)).all()
    assert cine_rows["mean"].tolist() == [0, 30, 70, 100]
    still = stored(frames=1)
    assert still["image"] == still["instance"]


@pytest.mark.parametrize("most", [1, 2, 7, 16])
def test_no_more_frames_than_asked_for(most: int) -> None:
    for frames in range(1, 40):
        taken = PreprocessParams(frames=Most(max=most)).chosen(frames)

        assert len(taken) == len(set(taken)) == min(frames, most)
        assert taken[0] == 0
        assert taken[-1] == frames - 1 or most == 1


@pytest.mark.parametrize(
    ("policy", "taken"),
    [
        ("all", [0, 1, 2, 3, 4]),
        ("middle", [2]),
        ("{every: 2}", [0, 2, 4]),
        ("{every: 9}", [0]),
        ("{max: 3}", [0, 2, 4]),
    ],
)
def test_frames_of_a_cine_are_taken_as_the_parameter_says(policy: str, taken: list[int], batch: Path) -> None:
    Path("params.yaml").write_text(PARAMETERS.replace("{max: 4}", policy))
    cine = np.stack([chest(number) for number in range(5)])
    make_dicom(batch / "cine", cine, transfer_syntax=RLELossless)
    for number in range(5):
        make_dicom(batch / f"still {number}", cine[number])
    both()

    rows, pixels = images.rows("here"), images.pixels("here")
    moving = rows[rows["frames"] == 5]
    assert moving["frame"].tolist() == taken
    assert moving["image"].tolist() == [f"{moving['instance'].iloc[0]}-{number}" for number in taken]
    stills = {pixels[row].tobytes() for row in rows.loc[rows["frames"] == 1, "row"]}
    assert len(stills & {pixels[row].tobytes() for row in moving["row"]}) == len(taken)


def test_monochrome1_shows_the_same_picture(batch: Path) -> None:
    image = chest(5)
    window = {"WindowCenter": 2047.5, "WindowWidth": 4095, "VOILUTFunction": "LINEAR_EXACT", "BitsStored": 12}
    make_dicom(batch / "two", image, **window)
    make_dicom(batch / "one", 4095 - image, PhotometricInterpretation="MONOCHROME1", **window)
    both()

    one, two = images.pixels("here").astype(int)
    assert np.abs(one - two).max() <= 1
    corner = one[16, 0]
    assert corner == 0  # the padding beside a portrait image is black in both


def test_files_that_cannot_be_used_are_quarantined_and_no_others(batch: Path) -> None:
    for number in range(6):
        make_dicom(batch / f"good{number}", chest(number))
    make_dicom(batch / "broken", transfer_syntax=RLELossless)
    break_stream(batch / "broken")
    make_dicom(batch / "odd", PhotometricInterpretation="MONOCHROME2", SamplesPerPixel=None)
    both()

    rejected = quarantine.read(images.directory("here") / "quarantine.csv")
    where = index.read_restricted("here").set_index("file")["path"]
    ingested = quarantine.read(index.quarantine_path("here"))
    assert {where[file] for file in [*rejected["file"], *ingested["file"]]} == {"broken", "odd"}
    assert len(images.rows("here")) == len(images.pixels("here")) == 6
    assert set(rejected["reason"]) <= {"DECODE_FAILED", "UNSUPPORTED", "TRUNCATED"}


class Fragile(convert.Converter):
    def __call__(self, item: convert.Item) -> list[convert.Image] | quarantine.Rejected:
        if item.file == os.environ["DEADLY"]:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(item)


def test_a_file_that_kills_its_decoder_is_quarantined(batch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(9):
        make_dicom(batch / f"{number}", chest(number))
    ingest.main()
    deadly = index.read("here")["file"][4]
    monkeypatch.setenv("DEADLY", deadly)
    monkeypatch.setattr(preprocess, "Converter", Fragile)
    preprocess.main()

    rejected = quarantine.read(images.directory("here") / "quarantine.csv")
    assert rejected[["file", "reason"]].to_numpy().tolist() == [[deadly, "DECODER_CRASHED"]]
    assert len(images.rows("here")) == 8


def test_a_batch_without_a_usable_image_keeps_what_was_there(batch: Path) -> None:
    make_dicom(batch / "good")
    both()
    before = outputs()
    (batch / "good").unlink()
    make_dicom(batch / "broken", transfer_syntax=RLELossless)
    break_stream(batch / "broken")
    ingest.main()

    with pytest.raises(UserError, match="no usable image in batch here: 1 DECODE_FAILED"):
        preprocess.main()

    assert outputs() == before
    assert [path.name for path in Path("data/images").iterdir()] == ["here"]


@pytest.mark.parametrize(
    "wrong",
    [
        "size: 15",
        "size: 1025",
        "size: 128.5",
        "frames: {max: 0}",
        "frames: first",
        "frames: {every: 2, max: 3}",
        "ct_window: lungs",
        "sise: 128",
    ],
)
def test_parameters_out_of_range_are_refused(wrong: str, workspace: Path) -> None:
    Path("params.yaml").write_text(f"preprocess: {{{wrong}}}\n")

    with pytest.raises(UserError, match=wrong.split(":", maxsplit=1)[0]):
        read("preprocess", PreprocessParams)


def test_images_in_an_archive_are_the_same_images(batch: Path) -> None:
    for number in range(5):
        make_dicom(batch / f"IM{number}", chest(number), transfer_syntax=JPEGLSLossless)
    both()
    loose = images.pixels("here").tobytes()
    with zipfile.ZipFile(batch / "export.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(5):
            file.write(batch / f"IM{number}", f"study {number}/IM")
            (batch / f"IM{number}").unlink()

    both()

    assert images.pixels("here").tobytes() == loose


def test_too_many_files_that_cannot_be_decoded_fail_the_stage(batch: Path) -> None:
    for number in range(4):
        make_dicom(batch / f"{number}", chest(number), transfer_syntax=RLELossless)
    both()
    before = outputs()
    Path("params.yaml").write_text(PARAMETERS.replace("fraction: 1}\n", "fraction: 0.2}\n", 2))
    break_stream(batch / "2")
    ingest.main()

    with pytest.raises(UserError, match=r"1 of 4 files.*DECODE_FAILED.*preprocess.max_quarantined_fraction"):
        preprocess.main()

    assert outputs() == before
    told = pd.read_csv(".radrepro/quarantine/preprocess@here.csv", dtype=str)
    assert told[["path", "reason"]].to_numpy().tolist() == [["2", "DECODE_FAILED"]]


def ultrasound(path: Path, regions: list[tuple[int, int, int, int]], **more) -> None:
    """White text over a grey sector: rows 20 to 79, columns 30 to 129 of 100 x 160."""
    image = np.zeros((100, 160), np.uint8)
    image[20:80, 30:130] = chest(1, 60, 100, bits=8) // 2 + 20
    image[2:10, 5:100] = 255
    image[85:95, 40:90] = 255
    boxes = []
    for top, bottom, left, right in regions:
        box = Dataset()
        box.RegionLocationMinY0, box.RegionLocationMaxY1 = top, bottom - 1
        box.RegionLocationMinX0, box.RegionLocationMaxX1 = left, right - 1
        boxes.append(box)
    window = {"WindowCenter": 127.5, "WindowWidth": 255, "VOILUTFunction": "LINEAR_EXACT"}
    make_dicom(path, image, Modality="US", SequenceOfUltrasoundRegions=Sequence(boxes), **window, **more)


def test_ultrasound_is_cropped_to_its_regions_and_the_text_is_gone(batch: Path) -> None:
    ultrasound(batch / "one", [(20, 80, 30, 130)], BurnedInAnnotation="YES")
    ultrasound(batch / "two", [(20, 80, 30, 80), (40, 80, 80, 130)])
    ultrasound(batch / "whole", [], BurnedInAnnotation="NO")
    ultrasound(batch / "unsafe", [], BurnedInAnnotation="YES")
    both()

    rows, pixels = images.rows("here"), images.pixels("here")
    shares = rows.set_index("row")["cropped"].round(4).to_dict()
    assert sorted(shares.values()) == [0, 0.625, 0.625]
    for row, share in shares.items():
        assert (pixels[row].max() > 240) == (share == 0)
    one, two = (pixels[row] for row, share in shares.items() if share)
    assert (one != two).any(), "what is in the rectangle and in no region is black"
    assert quarantine.read(index.quarantine_path("here"))["reason"].tolist() == ["BURNED_IN"]


def test_pixels_that_are_not_square_are_shown_square(batch: Path) -> None:
    rows, columns = np.mgrid[0:120, 0:120]
    disc = (((rows - 60) ** 2 + (columns - 60) ** 2 < 50**2) * 4000).astype(np.uint16)
    window = {"WindowCenter": 2000, "WindowWidth": 4000}
    make_dicom(batch / "round", disc, **window)
    make_dicom(batch / "flat", disc[::2], PixelSpacing=["0.4", "0.2"], **window)
    make_dicom(batch / "narrow", disc[:, ::2], PixelAspectRatio=[1, 2], **window)
    both()

    pixels = images.pixels("here").astype(int)
    for other in pixels[1:]:
        assert np.abs(pixels[0] - other).mean() < 6


@pytest.mark.parametrize("collimation", ["keep", "remove"])
def test_collimation_is_removed_when_asked_for(collimation: str, batch: Path) -> None:
    Path("params.yaml").write_text(PARAMETERS.replace("size: 32", f"size: 32, collimation: {collimation}"))
    image = np.full((300, 260), 30, np.uint16)
    image[60:260, 50:230] = chest(2, 200, 180)
    make_dicom(batch / "film", image, Modality="DX")
    make_dicom(batch / "slice", image, Modality="CT")
    both()

    shares = images.rows("here").set_index("modality")["cropped"]
    assert shares["CT"] == 0
    expected = 1 - 200 * 180 / (300 * 260) if collimation == "remove" else 0
    assert shares["DX"] == pytest.approx(expected, abs=0.03)


def test_text_between_regions_does_not_change_what_is_in_them(batch: Path) -> None:
    image = chest(1, 60, 100)
    inside = np.zeros(image.shape, bool)
    inside[:20] = inside[40:] = True
    regions = []
    for top, bottom in ((0, 19), (40, 59)):
        box = Dataset()
        box.RegionLocationMinY0, box.RegionLocationMaxY1 = top, bottom
        box.RegionLocationMinX0, box.RegionLocationMaxX1 = 0, 99
        regions.append(box)
    for name, between in (("dark", 0), ("bright", 65535)):
        make_dicom(
            batch / name,
            np.where(inside, image, between).astype(np.uint16),
            Modality="US",
            BurnedInAnnotation="NO",
            SequenceOfUltrasoundRegions=Sequence(regions),
        )
    both()

    assert set(images.rows("here")["window"]) == {"percentile"}
    assert np.array_equal(*images.pixels("here"))


@pytest.mark.parametrize("wrong", ["first", "{max: 3, every: 2}", "{every: 0}", "{max: true}", "3"])
def test_a_wrong_frame_policy_is_told_in_one_sentence(wrong: str, workspace: Path) -> None:
    (workspace / "params.yaml").write_text(f"preprocess: {{frames: {wrong}}}\n")

    with pytest.raises(UserError, match=r"^params.yaml: preprocess.frames: is one of all, middle, [^;]*$"):
        read("preprocess", PreprocessParams)
