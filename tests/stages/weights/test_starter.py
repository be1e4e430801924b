"""The shipped weights: small, free, made by the script beside them, and better than none."""

import numpy as np
import pytest
import torch
from safetensors import safe_open
from sklearn.linear_model import LogisticRegression

from stages import networks
from stages.networks import to_input
from stages.weights import starter
from stages.weights.formulas import TEXTURES, render
from stages.weights.sources import STARTER

SEED = 1


def test_the_file_is_small_and_says_what_it_is() -> None:
    assert STARTER.stat().st_size < 5_000_000
    with safe_open(STARTER, framework="pt") as file:
        header = file.metadata()
        types = {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118 - it is no mapping
    assert header["architecture"] == starter.ARCHITECTURE
    assert header["licence"] == "CC0-1.0"
    assert "top-1" in header["recipe"]
    assert types <= {torch.float16, torch.int64}


@pytest.mark.parametrize("label", [0, starter.FRACTALS - 1, *range(starter.FRACTALS, starter.FRACTALS + len(TEXTURES))])
def test_an_image_follows_from_its_numbers(label: int) -> None:
    first = render(SEED, label, 0, 64, starter.FRACTALS)
    assert first.shape == (64, 64)
    assert first.dtype == np.uint8
    assert first.std() > 5, "there is something in it"
    assert (render(SEED, label, 0, 64, starter.FRACTALS) == first).all()
    assert (render(SEED, label, 1, 64, starter.FRACTALS) != first).any(), "instances differ"
    assert (render(SEED + 1, label, 0, 64, starter.FRACTALS) != first).any()


def test_training_again_gives_the_same_weights() -> None:
    random = np.random.default_rng(0)
    images = torch.from_numpy(random.integers(0, 255, (16, starter.SIZE, starter.SIZE), dtype=np.uint8))
    labels = torch.arange(16)
    threads = torch.get_num_threads()
    try:
        one, two = (starter.train(images, labels, steps=1, seed=3).state_dict() for _ in range(2))
    finally:
        torch.use_deterministic_algorithms(mode=False)
        torch.set_num_threads(threads)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_its_features_tell_unseen_textures_apart_better_than_random_ones() -> None:
    """Instances that training never saw; a new classifier on frozen features: what transfer means."""
    labels = list(range(starter.FRACTALS, starter.CLASSES, 2))
    side = torch.tensor([[label] * 12 for label in labels]).flatten().numpy()
    images = np.stack(
        [render(SEED, label, 1000 + n, starter.SIZE, starter.FRACTALS) for label in labels for n in range(12)]
    )
    train = np.arange(len(side)) % 12 < 8

    def accuracy(backbone: torch.nn.Module) -> float:
        with torch.inference_mode():
            features = backbone.eval()(to_input(torch.from_numpy(images))).numpy()
        scale = features[train].std(axis=0) + 1e-6
        probe = LogisticRegression(max_iter=300, C=0.1).fit(features[train] / scale, side[train])
        return float(probe.score(features[~train] / scale, side[~train]))

    backbone, _, _ = networks.load_backbone(STARTER)
    torch.manual_seed(0)
    random, _ = networks.build_backbone(starter.ARCHITECTURE, starter.SIZE)
    assert accuracy(backbone) > accuracy(random) + 0.15
