import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.preprocess import fingerprint, geometry
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
