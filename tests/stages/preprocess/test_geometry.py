import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from stages.preprocess import crop, fingerprint, geometry
from tests.dicom_files import chest


@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([16, 32, 50]))
@settings(max_examples=60, deadline=None)
def test_any_shape_becomes_a_square_with_the_image_in_its_middle(height: int, width: int, size: int) -> None:
    made = geometry.square(np.full((height, width), 200, np.uint8), size)

    assert made.shape == (size, size)
    assert made.dtype == np.uint8
    side = max(height, width)
    assert abs(made.mean() / 200 - height * width / side**2) < 0.15
    assert np.array_equal(made > 100, (made > 100)[::-1]) or abs(height - width) % 2 or side < 2 * size


def test_shrinking_averages_and_the_same_size_is_left_alone() -> None:
    image = chest(1, 64, 64, bits=8)

    assert np.array_equal(geometry.square(image, 64), image)
    means = image.reshape(16, 4, 16, 4).mean(axis=(1, 3))
    assert np.abs(geometry.square(image, 16) - means).max() <= 0.5 + 1e-9


@pytest.mark.parametrize(("top", "left", "right"), [(0, 0, 0), (5, 0, 0), (10, 3, 7)])
def test_border_is_the_uniform_part_of_the_edges(top: int, left: int, right: int) -> None:
    image = np.random.default_rng(0).integers(0, 255, (60, 50), dtype=np.uint8)
    image[:top] = 0
    image[:, :left] = 0
    image[:, 50 - right :] = 1

    assert geometry.border(image) == pytest.approx(1 - (60 - top) * (50 - left - right) / 3000)


def test_a_flat_image_is_all_border() -> None:
    assert geometry.border(np.full((9, 9), 3, np.uint8)) == 1


def distance(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


def test_the_perceptual_hash_is_near_for_what_looks_the_same_and_far_for_what_does_not() -> None:
    image = chest(1, 128, 128, bits=8)
    noisy = np.clip(image * 0.9 + np.random.default_rng(1).normal(8, 2, image.shape), 0, 255).astype(np.uint8)
    smaller = geometry.square(image, 64)
    own = fingerprint.perceptual(image)

    assert len(own) == 64
    assert distance(own, fingerprint.perceptual(image.copy())) == 0
    assert distance(own, fingerprint.perceptual(smaller)) < 40
    assert distance(own, fingerprint.perceptual(chest(2, 128, 128, bits=8))) > 60
    assert fingerprint.exact(image) != fingerprint.exact(noisy)


def test_mirrored_images_differ() -> None:
    image = chest(3, 128, 128, bits=8)

    assert distance(fingerprint.perceptual(image), fingerprint.perceptual(image[:, ::-1])) > 60


@given(st.tuples(st.integers(200, 900), st.integers(20, 900)), st.sampled_from([16, 33, 50]), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_sums_of_rows_are_opencvs_area_filter(shape: tuple[int, int], size: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    side = max(shape)
    top, left = (side - shape[0]) // 2, (side - shape[1]) // 2
    padded = np.zeros((side, side), np.uint8)
    padded[top : top + shape[0], left : left + shape[1]] = image
    expected = cv2.resize(padded, (size, size), interpolation=cv2.INTER_AREA)

    assert np.abs(geometry.square(image, size).astype(int) - expected).max() <= 1


@given(
    top=st.integers(0, 80), bottom=st.integers(0, 80), left=st.integers(0, 80), right=st.integers(0, 80),
    level=st.integers(0, 255), seed=st.integers(0, 9),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_collimation_is_found_to_a_pixel_of_the_small_copy(
    top: int, bottom: int, left: int, right: int, level: int, seed: int
) -> None:
    inside = chest(seed, 240, 240, bits=8)
    rng = np.random.default_rng(seed)
    image = np.full((240 + top + bottom, 240 + left + right), level, np.uint8)
    image = (image + rng.integers(-2, 3, image.shape)).clip(0, 255).astype(np.uint8)
    image[top : top + 240, left : left + 240] = inside

    found = crop.collimation(image)

    assert found.top < found.bottom
    assert found.left < found.right
    scale = max(image.shape) / 256
    edges = (top, top + 240, left, left + 240)
    flat = inside.std(axis=1).min() < 12 or inside.std(axis=0).min() < 12  # an edge that is flat itself may go, too
    assert all(abs(one - other) <= 2 * scale + 1 for one, other in zip(found, edges, strict=True)) or flat


def test_an_image_without_a_border_loses_nothing_and_one_without_content_neither() -> None:
    busy = np.random.default_rng(1).integers(0, 255, (64, 64)).repeat(6, 0).repeat(6, 1).astype(np.uint8)

    assert crop.collimation(busy) == (0, 384, 0, 384)
    assert crop.collimation(np.full((50, 70), 9, np.uint8)) == (0, 50, 0, 70)


def test_a_border_is_never_more_than_a_share_of_the_image() -> None:
    speck = np.zeros((200, 200), np.uint8)
    speck[190:196, 2:198] = np.random.default_rng(1).integers(0, 255, (6, 196))

    top, bottom, left, right = crop.collimation(speck)

    assert bottom - top >= 0.2 * 200
    assert right - left >= 0.2 * 200


@pytest.mark.parametrize(
    ("stated", "aspect"),
    [
        ({}, 1),
        ({"PixelSpacing": [0.4, 0.2]}, 2),
        ({"ImagerPixelSpacing": [0.1, 0.2]}, 0.5),
        ({"PixelAspectRatio": [4, 3]}, 4 / 3),
        ({"PixelSpacing": [0.2, 0.2], "PixelAspectRatio": [4, 3]}, 1),  # spacing says it where there is one
        ({"PixelSpacing": [0.2, 0]}, 1),
        ({"PixelSpacing": [0.14, 0.1400001]}, 1),
        ({"PixelAspectRatio": [1, 99]}, 1),
    ],
)
def test_the_shape_of_a_pixel(stated: dict[str, list[float]], aspect: float) -> None:
    dataset = Dataset()
    for keyword, value in stated.items():
        setattr(dataset, keyword, value)

    assert geometry.aspect(dataset) == pytest.approx(aspect)


@pytest.mark.parametrize(("shape", "aspect"), [((100, 400), 4), ((60, 240), 4), ((240, 60), 0.25)])
def test_stripes_are_averaged_also_where_only_one_side_shrinks(shape: tuple[int, int], aspect: float) -> None:
    stripes = np.zeros(shape, np.uint8)
    if shape[1] > shape[0]:
        stripes[:, ::2] = 255
    else:
        stripes[::2] = 255

    made = geometry.square(stripes, 128, aspect)

    assert np.abs(made.astype(int) - 127.5).max() <= 65  # of pairs in 3.1 or 1.9 columns: never black or white


def test_the_narrowest_images_have_a_collimation() -> None:
    for shape in ((2000, 2), (2, 2000), (1, 1)):
        top, bottom, left, right = crop.collimation(np.zeros(shape, np.uint8))
        assert (top, left, bottom, right) == (0, 0, *shape)
