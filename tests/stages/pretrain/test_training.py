"""Both methods on images that a small network can tell apart."""

import numpy as np
import pytest
import torch

from stages import inference, networks
from stages.learning import devices
from stages.learning.resume import Progress
from stages.networks import Header
from stages.pretrain import training
from stages.pretrain.methods import Distillation, method
from stages.pretrain.params import Byol, SimCLR
from stages.runtime import UserError
from tests.stages.conftest import InMemory

DEVICE = torch.device("cpu")
SIMCLR = SimCLR(method="simclr", weights="start", epochs=4, lr=0.002, optimizer="adamw", batch_size=16, threads=1)
BYOL = Byol(method="byol", ema=0.9, **{**SIMCLR.model_dump(exclude={"method", "temperature"}), "lr": 0.001})
METHODS = pytest.mark.parametrize("settings", [SIMCLR, BYOL], ids=["simclr", "byol"])


def _fit(images, settings, *, kept=None, on_epoch=lambda _: None, probe=lambda: 0.5, seed=3):
    torch.manual_seed(1)
    backbone, features = networks.build_backbone("resnet18", 32)
    course = training.fit(
        backbone,
        features,
        images,
        settings,
        seed=seed,
        fabric=devices.fabric(inference.device("cpu"), "fp32"),
        probe=probe,
        on_epoch=on_epoch,
        kept=kept,
    )
    return backbone, course


def _same(one, other):
    mine, theirs = one.state_dict(), other.state_dict()
    return all(torch.equal(value, theirs[key]) for key, value in mine.items())


@METHODS
def test_the_loss_falls_and_every_layer_has_moved(settings):
    coarse = np.random.default_rng(2).integers(0, 256, (48, 4, 4), dtype=np.uint8)  # each unlike all others
    images = InMemory(coarse.repeat(8, axis=1).repeat(8, axis=2))
    backbone, course = _fit(images, settings)
    assert [row["epoch"] for row in course.passes] == [1, 2, 3, 4]
    losses = [row["loss"] for row in course.passes]
    assert losses[-1] < 0.9 * losses[0]
    torch.manual_seed(1)
    start, _ = networks.build_backbone("resnet18", 32)
    moved = [key for key, value in start.named_parameters() if not torch.equal(value, backbone.get_parameter(key))]
    assert len(moved) == len(list(start.parameters()))


@METHODS
def test_a_checkpoint_reloads_to_equal_features(settings, stripes, tmp_path):
    images, _ = stripes(20)
    backbone, _ = _fit(images, settings.model_copy(update={"epochs": 1}))
    path = tmp_path / "weights.safetensors"
    networks.save_backbone(path, backbone, Header("resnet18", "here", 32))
    again, _, _ = networks.load_backbone(path, 32)
    assert not set(again.state_dict()) ^ set(backbone.state_dict()), "no head and no average is in it"
    made = [inference.logits(network, images, DEVICE) for network in (backbone, again)]
    np.testing.assert_array_equal(*made)


def test_chance_is_the_seeds_alone(stripes):
    images, _ = stripes(20)
    short = SIMCLR.model_copy(update={"epochs": 1})
    one, course = _fit(images, short)
    other, again = _fit(images, short)
    assert _same(one, other)
    assert course == again
    assert not _same(one, _fit(images, short, seed=4)[0])


def test_the_probe_judges_the_start_every_so_many_epochs_and_the_end(stripes):
    told, scores = [], iter([0.5, 0.6, 0.7])
    images, _ = stripes(20)
    settings = SIMCLR.model_copy(update={"epochs": 3, "probe_every": 2})
    _, course = _fit(images, settings, probe=lambda: next(scores), on_epoch=lambda row: told.append(dict(row)))
    assert course.probes == [
        {"epoch": 0, "val_auroc": 0.5},
        {"epoch": 2, "val_auroc": 0.6},
        {"epoch": 3, "val_auroc": 0.7},
    ]
    assert [(row["epoch"], row.get("val_auroc"), "loss" in row) for row in told] == [
        (0, 0.5, False),
        (1, None, True),
        (2, 0.6, True),
        (3, 0.7, True),
    ]


def test_a_probe_that_leaves_evaluation_mode_behind_changes_nothing(stripes):
    images, _ = stripes(20)
    seen = []
    one, _ = _fit(images, SIMCLR.model_copy(update={"epochs": 2}))
    torch.manual_seed(1)
    backbone, features = networks.build_backbone("resnet18", 32)
    training.fit(
        backbone,
        features,
        images,
        SIMCLR.model_copy(update={"epochs": 2, "probe_every": 1}),
        seed=3,
        fabric=devices.fabric(inference.device("cpu"), "fp32"),
        probe=lambda: seen.append(inference.logits(backbone, images, DEVICE)) or 0.5,
    )
    assert len(seen) == 3
    assert _same(one, backbone)


@METHODS
def test_training_that_goes_on_after_a_kill_ends_with_the_same_bits(settings, stripes, workspace):
    images, _ = stripes(12)
    settings = settings.model_copy(update={"epochs": 3})
    whole, course = _fit(images, settings)

    def kill(row):
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    progress = Progress("pretrain@x", "settings", [])
    progress.save = lambda state, save=progress.save: (setattr(progress, "_free_from", 0.0), save(state))
    with pytest.raises(KeyboardInterrupt):
        _fit(images, settings, kept=progress, on_epoch=kill)
    told = []
    resumed, again = _fit(images, settings, kept=progress, on_epoch=lambda row: told.append(row["epoch"]))
    assert told == [0, 1, 2, 3], "what was known already is told again, for the curves"
    assert again == course
    assert _same(whole, resumed)


def test_the_moving_average_follows_slower_and_slower_and_has_no_gradients(stripes):
    torch.manual_seed(1)
    backbone, features = networks.build_backbone("resnet18", 32)
    network = method(BYOL, backbone, features)
    assert isinstance(network, Distillation)
    with torch.no_grad():
        for parameter in network.backbone.parameters():
            parameter.add_(1.0)
    before = network.average[0].conv1.weight.clone()
    goal = network.backbone.conv1.weight.detach()
    network.after(0, 10)
    torch.testing.assert_close(network.average[0].conv1.weight, 0.9 * before + 0.1 * goal)
    middle = network.average[0].conv1.weight.clone()
    network.after(9, 10)
    assert torch.equal(network.average[0].conv1.weight, middle), "at the end its decay is 1"
    first, second = network(torch.randn(8, 1, 32, 32))
    network.loss((first, second)).backward()
    assert all(parameter.grad is None for parameter in network.average.parameters())
    assert all(parameter.grad is not None for parameter in network.backbone.parameters())


def test_equal_views_of_unlike_images_cost_least():
    torch.manual_seed(1)
    one, other = torch.eye(4, 6), torch.eye(4, 6).flip(0)
    simclr, byol = (method(s, *networks.build_backbone("resnet18", 32)) for s in (SIMCLR, BYOL))
    assert simclr.loss((one, one)) < 0.01 < simclr.loss((one, other))
    predicted = torch.cat([one, other])
    assert byol.loss((predicted, torch.cat([other, one]))) == pytest.approx(0, abs=1e-6), "each predicts the other view"
    assert byol.loss((predicted, predicted)) == pytest.approx(2, abs=1e-6)


def test_batches_differ_by_one_image_at_most_and_hold_every_image_once():
    seen = []

    class Recorder(InMemory):
        def fetch(self, indices):
            seen.append(indices)
            return super().fetch(indices)

    images = Recorder(np.zeros((35, 32, 32), np.uint8))
    _fit(images, SIMCLR.model_copy(update={"epochs": 2}))
    assert [len(batch) for batch in seen] == [12, 12, 11] * 2
    first, second = np.concatenate(seen[:3]), np.concatenate(seen[3:])
    assert sorted(first) == sorted(second) == list(range(35))
    assert first.tolist() != second.tolist()


def test_a_loss_that_is_no_number_is_one_line(stripes):
    images, _ = stripes(20)
    wild = SIMCLR.model_copy(update={"optimizer": "sgd", "lr": 1e30, "warmup_epochs": 0})
    with pytest.raises(UserError, match=r"no longer a number in epoch \d: lower the lr"):
        _fit(images, wild)


def test_one_image_is_too_few():
    with pytest.raises(UserError, match="there is but one"):
        _fit(InMemory(np.zeros((1, 32, 32), np.uint8)), SIMCLR)
