import numpy as np
import pytest
import torch

from stages.learning.augment import PRESETS, Preset, augment, draw

NOTHING = Preset(degrees=0, shift=0, scale=0, brightness=0, contrast=0)


def _chance(seed=0):
    return torch.Generator().manual_seed(seed)


def _augment(pixels, preset, seed=0):
    return augment(pixels, preset, draw(len(pixels), np.random.default_rng(seed)), _chance(seed))


@pytest.fixture(scope="module")
def pixels():
    return torch.randint(0, 256, (6, 32, 32), dtype=torch.uint8, generator=_chance(1))


def test_a_preset_that_changes_nothing_changes_nothing(pixels):
    torch.testing.assert_close(_augment(pixels, NOTHING), pixels.float(), rtol=0, atol=1e-2)


def test_chance_is_what_is_given_alone(pixels):
    preset = PRESETS["radiograph"]
    torch.manual_seed(0)
    first = _augment(pixels, preset)
    torch.manual_seed(99)
    assert torch.equal(first, _augment(pixels, preset))
    assert not torch.equal(first, _augment(pixels, preset, seed=5))


def test_levels_stay_levels_and_images_differ(pixels):
    changed = _augment(pixels[:1].repeat(8, 1, 1), PRESETS["radiograph"])
    assert changed.shape == (8, 32, 32)
    assert changed.dtype == torch.float32
    assert 0 <= changed.min() <= changed.max() <= 255
    assert len(torch.unique(changed.flatten(1), dim=0)) == 8


def test_a_chest_is_never_mirrored_nor_turned_over():
    corner = torch.zeros(200, 32, 32)
    corner[:, 4:12, 4:12] = 255  # a marker at the top left
    changed = _augment(corner, PRESETS["radiograph"])
    quarters = [
        changed[:, rows, columns].sum(dim=(1, 2))
        for rows in (slice(16), slice(16, None))
        for columns in (slice(16), slice(16, None))
    ]
    brightest = torch.stack(quarters).argmax(dim=0)
    assert brightest.eq(0).all()


def test_what_comes_into_view_is_black():
    moved = _augment(torch.full((50, 32, 32), 200.0), Preset(0, 0.3, 0, 0, 0))
    assert moved.amin(dim=(1, 2)).eq(0).sum() > 45
    assert moved.amax(dim=(1, 2)).gt(199).all()


def test_brightness_and_contrast_keep_within_their_reach():
    half = torch.zeros(500, 4, 4)
    half[:, :2] = 100.0
    brighter = _augment(half + 50, Preset(0, 0, 0, 0.1, 0)).mean(dim=(1, 2)) - 100
    assert -25.5 <= brighter.min() < -20
    assert 20 < brighter.max() <= 25.5
    spread = _augment(half + 50, Preset(0, 0, 0, 0, 0.2))
    spread = spread[:, :2].mean(dim=(1, 2)) - spread[:, 2:].mean(dim=(1, 2))
    assert 79.9 <= spread.min() < 85
    assert 115 < spread.max() <= 120.1


def test_ultrasound_is_mirrored_half_the_time_and_never_turned_over():
    corner = torch.zeros(400, 32, 32)
    corner[:, 4:12, 4:12] = 255
    changed = _augment(corner, PRESETS["ultrasound"])
    up, down = changed[:, :16].sum(dim=(1, 2)), changed[:, 16:].sum(dim=(1, 2))
    left, right = changed[:, :, :16].sum(dim=(1, 2)), changed[:, :, 16:].sum(dim=(1, 2))
    assert (up > down).all()
    assert 0.4 < (right > left).float().mean() < 0.6


def test_speckle_multiplies():
    halves = torch.zeros(20, 16, 16)
    halves[:, :8] = 200.0
    noisy = _augment(halves, Preset(0, 0, 0, 0, 0, speckle=0.1))
    assert noisy[:, 8:].std() < 1e-3
    assert 5 < noisy[:, :8].std() < 25


def test_an_image_is_changed_alike_in_any_part_of_its_batch(pixels):
    chances = draw(6, np.random.default_rng(0))
    whole = augment(pixels, PRESETS["radiograph"], chances, _chance())
    halves = [
        augment(pixels[part], PRESETS["radiograph"], chances[part], _chance()) for part in (slice(3), slice(3, 6))
    ]
    assert torch.equal(whole, torch.cat(halves))
