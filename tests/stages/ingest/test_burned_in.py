"""Text in the pixels: believed when denied, cropped where the header says where the image is, and else not accepted."""

from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage, XRayAngiographicImageStorage

from stages import regions
from stages.ingest import burned_in
from stages.ingest.params import IngestParams
from stages.reasons import Reason, Refused

STRICT = IngestParams(key_file=Path("k.key"))
TRUSTING = IngestParams(key_file=Path("k.key"), burned_in_absent="pass")


def region(top: object, bottom: object, left: object, right: object) -> Dataset:
    item = Dataset()
    item.RegionLocationMinY0, item.RegionLocationMaxY1 = top, bottom
    item.RegionLocationMinX0, item.RegionLocationMaxX1 = left, right
    return item


def header(modality: str = "US", *, stated: str | None = None, boxes: list[Dataset] | None = None, **more) -> Dataset:
    made = Dataset()
    made.Modality, made.Rows, made.Columns = modality, 100, 200
    if stated is not None:
        made.BurnedInAnnotation = stated
    if boxes is not None:
        made.SequenceOfUltrasoundRegions = boxes
    for keyword, value in more.items():
        setattr(made, keyword, value)
    return made


GOOD = region(10, 89, 20, 179)


def refused(made: Dataset, section: IngestParams = STRICT) -> bool:
    try:
        burned_in.stated(made, section)
    except Refused as refusal:
        return refusal.reason is Reason.BURNED_IN
    return False


@pytest.mark.parametrize("modality", ["US", "DX", "CT", "MG", "XA"])
def test_what_the_header_states_counts(modality: str) -> None:
    assert burned_in.stated(header(modality, stated="NO"), STRICT) == "NO"
    assert refused(header(modality, stated="YES"), TRUSTING)
    assert refused(header(modality, stated=" yes "), TRUSTING)


@pytest.mark.parametrize(
    ("made", "doubtful"),
    [
        (header("US"), True),
        (header("IVUS"), True),
        (header("XA", SOPClassUID=XRayAngiographicImageStorage), True),
        (header("SC"), True),
        (header("OT", SOPClassUID=SecondaryCaptureImageStorage), True),
        (header("CR", SOPClassUID=f"{SecondaryCaptureImageStorage}.2"), True),
        (header("OT", SOPClassUID=f"{SecondaryCaptureImageStorage}7"), False),  # another class that begins alike
        (header("DX"), False),
        (header("MR"), False),
        (header("US", stated="PERHAPS"), True),  # absent or unknown is not NO
    ],
)
def test_what_is_not_stated_is_passed_by_the_parameter_only(made: Dataset, doubtful: bool) -> None:
    assert refused(made) == doubtful
    assert burned_in.stated(made, TRUSTING) is None


@pytest.mark.parametrize("stated", ["YES", None])
def test_ultrasound_that_is_cropped_to_its_regions_passes(stated: str | None) -> None:
    assert burned_in.stated(header(stated=stated, boxes=[GOOD]), STRICT) == stated


def test_regions_of_another_modality_remove_nothing() -> None:
    assert refused(header("DX", stated="YES", boxes=[GOOD]))


@pytest.mark.parametrize(
    "box", [region(89, 10, 20, 179), region(100, 120, 20, 179), region(10, 89, -9, -1), region(None, 89, 20, 179)]
)
def test_regions_that_cannot_be_are_not_used(box: Dataset) -> None:
    assert regions.usable(header(boxes=[box])) == []
    assert refused(header(stated="YES", boxes=[box]))
    assert regions.usable(header(boxes=[box, GOOD])) == [regions.Region(10, 90, 20, 180)]


def test_a_region_that_is_the_whole_image_removes_no_text() -> None:
    whole = header(stated="YES", boxes=[region(0, 100, 0, 200)])

    assert regions.usable(whole) == [regions.Region(0, 100, 0, 200)]  # one too many is common, and cut
    assert refused(whole)
    assert refused(header(boxes=[region(0, 50, 0, 199), region(50, 99, 0, 199)]))


@pytest.mark.parametrize(
    ("box", "passes"), [((0, 98, 0, 199), False), ((3, 99, 0, 199), True), ((0, 99, 6, 199), True)]
)
def test_a_crop_of_a_row_removes_no_line_of_text(box: tuple[int, int, int, int], passes: bool) -> None:
    assert refused(header(stated="YES", boxes=[region(*box)])) != passes
    assert refused(header(boxes=[region(*box)])) != passes
