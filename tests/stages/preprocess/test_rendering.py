from typing import get_args

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.sequence import Sequence

from stages.preprocess import geometry, rendering, windows
from stages.preprocess.codecs import Frame
from stages.preprocess.params import PreprocessParams
from stages.reasons import Refused
from tests.dicom_files import chest


def attributes(stored, **values) -> Dataset:
    dataset = Dataset()
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8 * stored.dtype.itemsize
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def table(entries: list[int], first: int, bits: int) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [len(entries) % 2**16, first, bits]
    item.LUTData = entries
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    return item


def by_pydicom(stored, dataset: Dataset) -> np.ndarray:
    """Grey levels in float64, by pydicom's functions on the whole image; black is the bottom of the output range."""
    shown = apply_voi_lut(apply_modality_lut(stored, dataset), dataset).astype(np.float64)
    if "VOILUTSequence" in dataset:
        return shown / (2 ** dataset.VOILUTSequence[0].LUTDescriptor[2] - 1) * 255
    signed, bits = dataset.PixelRepresentation, dataset.BitsStored
    bottom, top = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    if "ModalityLUTSequence" in dataset:
        bottom, top = 0, 2 ** dataset.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    elif "RescaleSlope" in dataset:
        bottom, top = (end * dataset.RescaleSlope + dataset.RescaleIntercept for end in (bottom, top))
    return (shown - bottom) / (top - bottom) * 255


def assert_within_one_grey_level(image, expected) -> None:
    assert np.abs(image.astype(np.float64) - np.rint(expected)).max() <= 1


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@given(
    dtype=st.sampled_from(["u1", "i1", "u2", "i2"]),
    rescale=st.tuples(st.sampled_from([1.0, 0.5, 2.25, -1.0]), st.integers(-2000, 2000)),
    window=st.tuples(st.floats(0, 1), st.floats(0, 1.5)),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_rescale_and_window_agree_with_pydicom(function, dtype, rescale, window, seed) -> None:
    (slope, intercept), (centre, width) = rescale, window
    limits = np.iinfo(dtype)
    stored = np.random.default_rng(seed).integers(limits.min, limits.max, (24, 31), dtype=dtype, endpoint=True)
    ends = sorted(end * slope + intercept for end in (limits.min, limits.max))
    dataset = attributes(
        stored,
        RescaleSlope=slope,
        RescaleIntercept=float(intercept),
        WindowCenter=round(ends[0] + centre * (ends[1] - ends[0]), 3),
        WindowWidth=round(2 + width * (ends[1] - ends[0]), 3),
        VOILUTFunction=function,
    )

    grey, source = rendering.render(Frame(stored, "MONOCHROME2"), dataset)

    assert source is rendering.WINDOW
    expected = by_pydicom(stored, dataset)
    assert_within_one_grey_level(grey, expected)
    assert_within_one_grey_level(geometry.square(grey, 16), cv2.resize(_padded(expected), (16, 16), interpolation=3))


def _padded(image):
    short = image.shape[1] - image.shape[0]
    return np.pad(image, ((short // 2, short - short // 2), (0, 0)))


@pytest.mark.parametrize("depth", [8, 10, 16])
def test_voi_lut_sequence_agrees_with_pydicom_and_goes_before_the_window(depth: int) -> None:
    stored = chest(1)
    entries = [int(entry) for entry in (np.linspace(0, 1, 200) ** 2 * (2**depth - 1))]
    dataset = attributes(stored, VOILUTSequence=Sequence([table(entries, 1000, depth)]), WindowCenter=1, WindowWidth=9)

    grey, source = rendering.render(Frame(stored, "MONOCHROME2"), dataset)

    assert source is rendering.LUT
    expected = np.asarray(entries)[(stored.astype(int) - 1000).clip(0, 199)] / (2**depth - 1) * 255
    assert_within_one_grey_level(grey, expected)
    if depth > 8:  # pydicom's 8-bit tables overflow on images of more bits
        assert_within_one_grey_level(grey, by_pydicom(stored, dataset))


def test_modality_lut_sequence_agrees_with_pydicom() -> None:
    stored = chest(2)
    entries = [int(entry) for entry in (np.sqrt(np.linspace(0, 1, 3000)) * 65535)]
    lut = Sequence([table(entries, 500, 16)])
    dataset = attributes(stored, ModalityLUTSequence=lut, WindowCenter=30000, WindowWidth=50000)

    grey, _ = rendering.render(Frame(stored, "MONOCHROME2"), dataset)

    assert_within_one_grey_level(grey, by_pydicom(stored, dataset))


def test_packed_eight_bit_table_and_an_empty_one() -> None:
    stored = chest(3, bits=8)
    packed = table([0], 0, 8)
    packed.LUTDescriptor = [256, 0, 8]
    packed["LUTData"].VR = "OW"
    packed.LUTData = bytes(range(255, -1, -1))
    empty = Dataset()
    empty.LUTDescriptor = empty.LUTData = None

    inverted, source = rendering.render(
        Frame(stored, "MONOCHROME2"), attributes(stored, VOILUTSequence=Sequence([packed]))
    )
    _, none = rendering.render(Frame(stored, "MONOCHROME2"), attributes(stored, VOILUTSequence=Sequence([empty])))

    assert source is rendering.LUT
    assert np.array_equal(inverted, 255 - stored)
    assert none is rendering.PERCENTILE


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted"),
    [
        ("MONOCHROME2", None, False),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME1", None, True),
        ("MONOCHROME1", "INVERSE", True),  # both say the same: once, not twice
        ("MONOCHROME2", "INVERSE", True),
    ],
)
@pytest.mark.parametrize("window", [{}, {"WindowCenter": 1000, "WindowWidth": 1500}])
def test_polarity(photometric: str, shape: str | None, inverted: bool, window: dict[str, float]) -> None:
    stored = chest(4)
    plain, _ = rendering.render(Frame(stored, "MONOCHROME2"), attributes(stored, **window))
    stated = {} if shape is None else {"PresentationLUTShape": shape}

    grey, _ = rendering.render(Frame(stored, photometric), attributes(stored, **window, **stated))

    assert_within_one_grey_level(grey, 255.0 - plain if inverted else plain)


@given(st.integers(0, 10_000), st.sampled_from(["u1", "u2", "i2", "i4"]), st.sampled_from([1.0, -2.0]))
@settings(max_examples=60, deadline=None)
def test_percentile_window_is_numpys(seed: int, dtype: str, slope: float) -> None:
    rng = np.random.default_rng(seed)
    stored = rng.normal(100, 30, (20, 30)).clip(0, 255).astype(dtype)
    values = stored * slope + 5
    low, high = np.percentile(values, [1, 99], method="inverted_cdf")

    grey, source = rendering.render(
        Frame(stored, "MONOCHROME2"), attributes(stored, RescaleSlope=slope, RescaleIntercept=5)
    )

    assert source is rendering.PERCENTILE
    assert_within_one_grey_level(grey, ((values - low) / (high - low)).clip(0, 1) * 255)


@pytest.mark.parametrize(
    "window",
    [
        {"WindowCenter": 5, "WindowWidth": 0},
        {"WindowCenter": 5, "WindowWidth": 0.5},
        {"WindowCenter": None, "WindowWidth": 7},
        {"WindowCenter": [], "WindowWidth": []},
        {"WindowCenter": 5, "WindowWidth": 7, "VOILUTFunction": "LOGARITHMIC"},
    ],
)
def test_a_window_that_the_standard_forbids_is_none(window: dict[str, object]) -> None:
    stored = chest(5)

    assert rendering.render(Frame(stored, "MONOCHROME2"), attributes(stored, **window))[1] is rendering.PERCENTILE


def test_the_first_of_several_windows_counts() -> None:
    stored = chest(5)
    one = attributes(stored, WindowCenter=900, WindowWidth=700)
    several = attributes(stored, WindowCenter=[900, 10], WindowWidth=[700, 20])

    assert np.array_equal(*(rendering.render(Frame(stored, "MONOCHROME2"), dataset)[0] for dataset in (one, several)))


def test_flat_images_are_black_or_keep_what_little_they_hold() -> None:
    flat = np.full((20, 20), 77, np.uint16)
    speck = flat.copy()
    speck[3, 4] = 99

    assert rendering.render(Frame(flat, "MONOCHROME2"), attributes(flat))[0].max() <= 128
    grey = rendering.render(Frame(speck, "MONOCHROME2"), attributes(speck))[0]
    assert (grey[3, 4], grey[0, 0]) == (255, 0)


def test_windows_of_an_enhanced_file_stand_in_its_functional_groups() -> None:
    stored = chest(6)
    dataset = attributes(stored, WindowCenter=1, WindowWidth=2)
    rescale, shared = Dataset(), Dataset()
    rescale.RescaleSlope, rescale.RescaleIntercept = 2.0, -100.0
    shared.PixelValueTransformationSequence = Sequence([rescale])
    frames = []
    for centre in (2000.0, 4000.0):
        window, group = Dataset(), Dataset()
        window.WindowCenter, window.WindowWidth = centre, 3000.0
        group.FrameVOILUTSequence = Sequence([window])
        frames.append(group)
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)

    for index, centre in enumerate((2000, 4000)):
        flat = attributes(stored, RescaleSlope=2, RescaleIntercept=-100, WindowCenter=centre, WindowWidth=3000)
        expected = rendering.render(Frame(stored, "MONOCHROME2"), flat)[0]
        of_frame = rendering.of_frame(dataset, index)

        assert np.array_equal(rendering.render(Frame(stored, "MONOCHROME2"), of_frame)[0], expected)


def test_colour_becomes_luma() -> None:
    rgb = np.stack([chest(seed, bits=8) for seed in (1, 2, 3)], axis=-1)
    expected = rgb @ [0.299, 0.587, 0.114]

    grey, source = rendering.render(Frame(rgb, "RGB"), attributes(rgb))
    deep, _ = rendering.render(Frame(rgb.astype(np.uint16) << 4, "RGB"), attributes(rgb, BitsStored=12))

    assert source is rendering.COLOUR
    assert_within_one_grey_level(grey, expected)
    assert_within_one_grey_level(deep, expected)


def test_palettes_are_applied() -> None:
    stored = chest(7, bits=8)
    dataset = attributes(stored)
    ramps = [np.arange(256), np.arange(256)[::-1], np.full(256, 50)]
    for name, ramp in zip(("Red", "Green", "Blue"), ramps, strict=True):
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(dataset, f"{name}PaletteColorLookupTableData", (ramp * 257).astype("<u2").tobytes())

    grey, source = rendering.render(Frame(stored, "PALETTE COLOR"), dataset)

    assert source is rendering.COLOUR
    assert_within_one_grey_level(grey, 0.299 * stored + 0.587 * (255.0 - stored) + 0.114 * 50)


@pytest.mark.parametrize("photometric", ["YBR_PARTIAL_420", "ARGB", "", "MONOCHROME3"])
def test_other_pixels_are_refused(photometric: str) -> None:
    stored = chest(1)

    with pytest.raises(Refused):
        rendering.render(Frame(stored, photometric), attributes(stored))


def test_padding_is_black_and_does_not_count() -> None:
    stored = chest(1, 40, 40).astype(np.int16)
    stored[:, :20] = -2000
    dataset = attributes(stored, PixelPaddingValue=63536)  # -2000 written as US
    without, _ = rendering.render(Frame(stored[:, 20:], "MONOCHROME2"), attributes(stored))

    for photometric in ("MONOCHROME2", "MONOCHROME1"):
        grey, source = rendering.render(Frame(stored, photometric), dataset)
        assert source == rendering.PERCENTILE
        assert not grey[:, :20].any()
        expected = without if photometric == "MONOCHROME2" else 255 - without
        assert np.abs(grey[:, 20:].astype(int) - expected).max() <= 1


def test_padding_may_be_a_range_or_everything() -> None:
    stored = np.arange(100, dtype=np.uint16).reshape(10, 10)
    window = {"WindowCenter": 50, "WindowWidth": 100}

    ranged, _ = rendering.render(
        Frame(stored, "MONOCHROME2"), attributes(stored, PixelPaddingValue=80, PixelPaddingRangeLimit=60, **window)
    )
    plain, _ = rendering.render(Frame(stored, "MONOCHROME2"), attributes(stored, **window))
    padded = (stored >= 60) & (stored <= 80)
    assert not ranged[padded].any()
    assert np.array_equal(ranged[~padded], plain[~padded])
    blank = np.full((4, 4), 7, np.uint16)
    assert not rendering.render(Frame(blank, "MONOCHROME2"), attributes(blank, PixelPaddingValue=7))[0].any()


def test_a_ct_window_by_name_is_for_hounsfield_units_only() -> None:
    stored = np.linspace(0, 4000, 64, dtype=np.uint16).reshape(8, 8)
    ct = {"Modality": "CT", "RescaleSlope": 1, "RescaleIntercept": -1024, "WindowCenter": 40, "WindowWidth": 400}
    frame, lung = Frame(stored, "MONOCHROME2"), rendering.Choice("lung")

    shown, source = rendering.render(frame, attributes(stored, **ct), lung)

    assert source == "lung"
    expected = ((stored.astype(float) - 1024 + 600.5) / 1499 + 0.5).clip(0, 1) * 255
    assert_within_one_grey_level(shown, expected)
    assert rendering.render(frame, attributes(stored, **ct, RescaleType="HU"), lung)[1] == "lung"
    for other in ({**ct, "RescaleType": "US"}, {**ct, "Modality": "DX"}, {**ct, "RescaleIntercept": None}):
        assert rendering.render(frame, attributes(stored, **other), lung)[1] == rendering.WINDOW


def test_of_several_windows_the_one_of_that_number_counts() -> None:
    stored = np.arange(256, dtype=np.uint8).reshape(16, 16)
    several = attributes(stored, WindowCenter=[100, 200], WindowWidth=[50, 20])
    frame = Frame(stored, "MONOCHROME2")

    for number, (centre, width) in {1: (100, 50), 2: (200, 20), 3: (100, 50)}.items():
        alone = rendering.render(frame, attributes(stored, WindowCenter=centre, WindowWidth=width))[0]
        assert np.array_equal(rendering.render(frame, several, rendering.Choice(number=number))[0], alone)


@pytest.mark.parametrize("signed", [False, True])
def test_bits_that_are_not_used_show_nothing(signed: bool) -> None:
    """An overlay of old lies in the high bits (PS3.5 section 8.1.2 in 2004): it is never burned in."""
    values = chest(1).astype(np.int16) - (2048 if signed else 0)
    overlay = np.random.default_rng(0).integers(0, 16, values.shape).astype(np.uint16) << 12
    stored = (values.view(np.uint16) & 0x0FFF | overlay).view(np.int16 if signed else np.uint16)
    window = {"WindowCenter": 0 if signed else 2048, "WindowWidth": 4000}

    shown, _ = rendering.render(Frame(stored, "MONOCHROME2", unused=4), attributes(stored, BitsStored=12, **window))
    clean, _ = rendering.render(Frame(values, "MONOCHROME2"), attributes(values, BitsStored=12, **window))

    assert np.array_equal(shown, clean)


def test_every_ct_window_that_can_be_asked_for_is_there() -> None:
    asked = set(get_args(PreprocessParams.model_fields["ct_window"].annotation))

    assert asked == {"file", *windows.CT}


def test_a_window_is_a_pair() -> None:
    dataset = Dataset()
    dataset.WindowCenter, dataset.WindowWidth = [100, 200], 50

    assert windows.stated(dataset, 2) == windows.Window(100, 50)
