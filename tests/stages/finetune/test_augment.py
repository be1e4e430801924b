import pytest
import torch

from stages.finetune.augment import PRESETS, Preset, augment

NOTHING = Preset(degrees=0, shift=0, scale=0, brightness=0, contrast=0)


def _chance(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def pixels():
    return torch.randint(0, 256, (6, 32, 32), dtype=torch.uint8, generator=_chance(1))


def test_a_preset_that_changes_nothing_changes_nothing(pixels):
    torch.testing.assert_close(augment(pixels, NOTHING, _chance()), pixels.float(), rtol=0, atol=1e-2)


def test_chance_is_the_generators_alone(pixels):
    preset = PRESETS["radiograph"]
    torch.manual_seed(0)
    first = augment(pixels, preset, _chance())
    torch.manual_seed(99)
    assert torch.equal(first, augment(pixels, preset, _chance()))
    assert not torch.equal(first, augment(pixels, preset, _chance(5)))


def test_levels_stay_levels_and_images_differ(pixels):
    changed = augment(pixels[:1].repeat(8, 1, 1), PRESETS["radiograph"], _chance())
    assert changed.shape == (8, 32, 32)
    assert changed.dtype == torch.float32
    assert 0 <= changed.min() <= changed.max() <= 255
    assert len(torch.unique(changed.flatten(1), dim=0)) == 8


def test_a_chest_is_never_mirrored_nor_turned_over():
    corner = torch.zeros(200, 32, 32)
    corner[:, 4:12, 4:12] = 255  # a marker at the top left
    changed = augment(corner, PRESETS["radiograph"], _chance())
    quarters = [
        changed[:, rows, columns].sum(dim=(1, 2))
        for rows in (slice(16), slice(16, None))
        for columns in (slice(16), slice(16, None))
    ]
    brightest = torch.stack(quarters).argmax(dim=0)
    assert brightest.eq(0).all()


def test_what_comes_into_view_is_black():
    moved = augment(torch.full((50, 32, 32), 200.0), Preset(0, 0.3, 0, 0, 0), _chance())
    assert moved.amin(dim=(1, 2)).eq(0).sum() > 45
    assert moved.amax(dim=(1, 2)).gt(199).all()


def test_brightness_and_contrast_keep_within_their_reach():
    half = torch.zeros(500, 4, 4)
    half[:, :2] = 100.0
    brighter = augment(half + 50, Preset(0, 0, 0, 0.1, 0), _chance()).mean(dim=(1, 2)) - 100
    assert -25.5 <= brighter.min() < -20
    assert 20 < brighter.max() <= 25.5
    spread = augment(half + 50, Preset(0, 0, 0, 0, 0.2), _chance())
    spread = spread[:, :2].mean(dim=(1, 2)) - spread[:, 2:].mean(dim=(1, 2))
    assert 79.9 <= spread.min() < 85
    assert 115 < spread.max() <= 120.1
