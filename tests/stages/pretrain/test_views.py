from dataclasses import replace

import numpy as np
import pytest
import torch

from stages.pretrain.views import PRESETS, Preset, draw, view

STILL = Preset(area=1, degrees=0, brightness=0, contrast=0, gamma=0, blur=0, noise=0, erased=0)


def _views(pixels, preset, seed=0):
    pixels = torch.as_tensor(pixels)
    chances = draw(len(pixels), np.random.default_rng(seed))
    return view(pixels, preset, chances, torch.Generator().manual_seed(seed))


@pytest.fixture
def noise():
    return np.random.default_rng(5).integers(0, 256, (64, 40, 40), dtype=np.uint8)


@pytest.mark.parametrize("name", PRESETS)
def test_views_are_grey_levels_of_the_same_shape_whatever_the_type(name, noise):
    made = _views(noise, PRESETS[name])
    assert (made.shape, made.dtype) == ((64, 40, 40), torch.float32)
    assert made.min() >= 0
    assert made.max() <= 255
    assert torch.equal(made, _views(noise.astype(np.float32), PRESETS[name]))
    assert _views(noise[:1], PRESETS[name]).shape == (1, 40, 40)


@pytest.mark.parametrize("name", PRESETS)
def test_chance_is_the_seeds_alone_and_each_image_has_its_own(name, noise):
    same = np.repeat(noise[:1], 8, axis=0)
    made = _views(same, PRESETS[name], seed=3)
    assert torch.equal(made, _views(same, PRESETS[name], seed=3))
    assert not torch.equal(made, _views(same, PRESETS[name], seed=4))
    assert len({image.numpy().tobytes() for image in made}) == 8


def test_a_preset_that_changes_nothing_changes_nothing(noise):
    torch.testing.assert_close(_views(noise, STILL), torch.from_numpy(noise).float(), rtol=0, atol=2e-3)


@pytest.mark.parametrize("name", PRESETS)
def test_up_stays_up_and_a_chest_is_not_mirrored(name):
    """A bright upper left corner: where is it in many views?"""
    corner = np.zeros((400, 48, 48), dtype=np.uint8)
    corner[:, 8:20, 8:20] = 200
    made = _views(corner, replace(PRESETS[name], erased=0, noise=0))
    middle = np.arange(48) - 23.5
    weight = made.sum(dim=(1, 2))
    down = (made.sum(dim=2) @ torch.tensor(middle, dtype=torch.float32)) / weight
    right = (made.sum(dim=1) @ torch.tensor(middle, dtype=torch.float32)) / weight
    told = weight > 0
    assert told.sum() > 350
    # what is cut to a corner of the image can have its middle anywhere, but not all of it in the lower half
    assert (down[told] < 6).all()
    mirrored = (right[told] > 6).float().mean()
    assert mirrored == 0 if name == "radiograph" else 0.2 < mirrored < 0.7


def test_at_least_half_of_the_image_is_in_view_and_nothing_from_outside():
    gradient = np.tile(np.linspace(20, 235, 64), (200, 64, 1)).astype(np.uint8)
    made = _views(gradient, replace(STILL, area=0.5))
    seen = made[:, 32, -2] - made[:, 32, 1]
    assert made.min() > 5  # the edge's half pixel may be mixed with black
    assert seen.min() > 0.66 * 205  # the square root of a half, less the two pixels at the edges
    assert seen.max() > 0.95 * 205
    assert seen.std() > 5


def test_blur_smooths_about_half_of_the_images_and_keeps_their_mean(noise):
    made = _views(noise, replace(STILL, blur=0.05))
    spread = made.std(dim=(1, 2)) / torch.from_numpy(noise).float().std(dim=(1, 2))
    assert 0.3 < (spread < 0.95).float().mean() < 0.7
    assert spread.max() < 1.001
    flat = np.full((16, 40, 40), 77, dtype=np.uint8)
    torch.testing.assert_close(
        _views(flat, replace(STILL, blur=0.05)), torch.full((16, 40, 40), 77.0), rtol=0, atol=0.01
    )


def test_a_square_of_some_images_is_painted_over_with_their_mean(noise):
    made = _views(noise, replace(STILL, erased=0.5))
    changed = (made - torch.from_numpy(noise)).abs() > 0.01
    part = changed.float().mean(dim=(1, 2))
    assert 0.2 < (part > 0).float().mean() < 0.7  # about half; the smallest squares hold no pixel's middle
    assert part.max() <= 0.25
    image = int(part.argmax())
    rows, columns = changed[image].any(dim=1), changed[image].any(dim=0)
    painted = made[image][rows][:, columns]
    torch.testing.assert_close(painted, torch.full_like(painted, float(noise[image].mean())), rtol=0, atol=0.01)


def test_gamma_keeps_black_and_white_and_bends_grey():
    levels = np.tile(np.array([0, 128, 255], dtype=np.uint8), (100, 3, 1))
    made = _views(levels, replace(STILL, gamma=0.5))
    torch.testing.assert_close(made[:, 1, 0], torch.zeros(100), rtol=0, atol=1e-3)
    torch.testing.assert_close(made[:, 1, 2], torch.full((100,), 255.0), rtol=0, atol=1e-2)
    grey = made[:, 1, 1]
    assert grey.min() > 255 * (128 / 255) ** 1.5 - 0.1
    assert grey.max() < 255 * (128 / 255) ** (1 / 1.5) + 0.1
    assert (grey < 118).any()
    assert (grey > 138).any()
