"""Grad-CAM against a reckoning by hand, on every family of networks; its sanity check against scipy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.stats import rankdata
from torch import nn

from stages import blocks, inference, networks
from stages.artifacts.cohort import Task
from stages.evaluate import cases_section, explain, gradcam, sanity
from stages.evaluate.cases import Case, Group
from stages.networks import Classifier, Header


def _large(*case):
    return pytest.param(*case, marks=pytest.mark.slow, id=case[0])


# One of each family; the layer that its literature takes, and how many places are left of the image there.
FAMILIES = [
    ("resnet18", 64, "backbone.layer4", 2),
    ("mobilenet_v3_small", 64, "backbone.features", 2),
    ("squeezenet1_1", 64, "backbone.classifier.2", 3),
    ("shufflenet_v2_x0_5", 64, "backbone.conv5", 2),
    ("mnasnet0_5", 64, "backbone.layers", 2),
    ("regnet_y_400mf", 64, "backbone.trunk_output", 2),
    ("efficientnet_b0", 64, "backbone.features", 2),
    ("densenet121", 64, "backbone.features", 2),
    ("googlenet", 64, "backbone.inception5b", 2),
    _large("vgg11", 64, "backbone.features.19", 4),  # before the last pooling
    _large("convnext_tiny", 64, "backbone.features", 2),
    _large("swin_t", 64, "backbone.permute", 2),
    _large("vit_b_32", 96, "backbone.encoder.layers.encoder_layer_10", 3),  # of the last, only the class token is read
    _large("inception_v3", 96, "backbone.Mixed_6e", 4),  # the branches of Mixed_7a see 4 places too, each its part
]


def _pixels(count, size):
    return np.random.default_rng(1).integers(0, 256, (count, size, size), dtype=np.uint8)


@pytest.fixture(autouse=True)
def deterministic():
    inference.device("cpu")
    yield
    torch.use_deterministic_algorithms(mode=False)


def _classifier(architecture, size, classes=3):
    torch.manual_seed(0)
    backbone, features = networks.build_backbone(architecture, size)
    return Classifier(backbone, features, classes)


def _by_hand(classifier, layer, pixels, targets):
    """Selvaraju et al., equations 1 and 2, with autograd and loops: no captum, one image at a time."""
    found = []
    for image, target in zip(pixels, targets, strict=True):
        kept = []

        def keep(_module, _inputs, output, kept=kept):
            kept.append(output.detach().clone().requires_grad_())
            return kept[0] * 1  # what follows may change it in place

        hook = classifier.get_submodule(layer.name).register_forward_hook(keep)
        logits = classifier(networks.to_input(torch.from_numpy(image[None])))
        hook.remove()
        odds = logits[0, target] - torch.logsumexp(torch.cat([logits[0, :target], logits[0, target + 1 :]]), 0)
        (gradient,) = torch.autograd.grad(odds, kept[0])
        features = kept[0].detach()
        if layer.layout == "NHWC":
            gradient, features = gradient.permute(0, 3, 1, 2), features.permute(0, 3, 1, 2)
        if layer.layout == "tokens":
            places = layer.grid**2
            gradient, features = (
                one[:, -places:].permute(0, 2, 1).reshape(1, -1, layer.grid, layer.grid) for one in (gradient, features)
            )
        total = torch.zeros(layer.grid, layer.grid)
        for channel in range(features.shape[1]):
            total += gradient[0, channel].mean() * features[0, channel]
        found.append(total.clamp(min=0).numpy())
    return np.stack(found)


@pytest.mark.parametrize(("architecture", "size", "name", "grid"), FAMILIES)
def test_a_map_of_any_family_is_what_the_paper_says(architecture, size, name, grid) -> None:
    classifier = _classifier(architecture, size)
    pixels, targets = _pixels(3, size), [2, 0, 1]
    layer = gradcam.find_layer(classifier, pixels[:2])
    assert (layer.name, layer.grid) == (name, grid)
    found = gradcam.maps(classifier, layer, pixels, targets, "multiclass")
    expected = _by_hand(classifier, layer, pixels, targets)
    assert found.shape == (3, grid, grid)
    assert expected.max() > 0
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-4 * expected.max())
    again = gradcam.maps(classifier, layer, pixels, targets, "multiclass")
    assert found.tobytes() == again.tobytes()


def test_at_a_size_that_leaves_one_place_an_earlier_layer_is_taken() -> None:
    classifier = _classifier("resnet18", 32)
    assert gradcam.find_layer(classifier, _pixels(2, 32)) == gradcam.Layer("backbone.layer3", "NCHW", 2)


def test_a_network_cut_short_has_maps_of_its_last_block() -> None:
    torch.manual_seed(0)
    backbone, _ = networks.build_backbone("resnet18", 64)
    features = blocks.truncate(backbone, 3, 64)
    layer = gradcam.find_layer(Classifier(backbone, features, 2), _pixels(2, 64))
    assert (layer.name, layer.grid) == ("backbone.layer2", 8)


def test_a_network_without_places_is_told_from_one_with() -> None:
    """It draws nothing, and the report says so."""
    flat = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.ReLU())
    pixels = _pixels(2, 8)
    assert gradcam.find_layer(Classifier(flat, 5, 2), pixels) is None
    header = Header("flat", "test", 8, ("a", "b"), "binary")
    seen = explain.explain(Classifier(flat, 5, 2), header, [Case(0, 1, "x")], {0: pixels[0]}, 1)
    assert seen == explain.Explained(None)
    assert "no feature map with places" in " ".join(cases_section.notes(seen, pixels=True))
    ((_, (picture,)),) = cases_section.strips([Group("one", [Case(0, 1, "x")])], seen, {0: pixels[0]})
    assert picture.beside is None


class _Finder(nn.Module):
    """Features are how bright each quarter of the image is: what a class looks at is known."""

    def __init__(self) -> None:
        super().__init__()
        self.quarters = nn.AvgPool2d(1)
        self.body = nn.Conv2d(1, 1, 4, stride=4, bias=False)
        nn.init.constant_(self.body.weight, 1 / 16)

    def forward(self, images):
        return self.body(images).clamp(min=0).mean(dim=(2, 3))


def test_the_bright_spot_that_decides_is_where_the_map_is_high() -> None:
    classifier = Classifier(_Finder(), 1, 2)
    with torch.no_grad():
        classifier.head.weight.copy_(torch.tensor([[-1.0], [1.0]]))
    pixels = np.full((2, 16, 16), 120, np.uint8)
    pixels[0, 4:8, 8:12] = 250
    pixels[1, 12:16, 0:4] = 250
    layer = gradcam.find_layer(classifier, pixels)
    assert layer == gradcam.Layer("backbone.body", "NCHW", 4)
    found = gradcam.maps(classifier, layer, pixels, [1, 1], "binary")
    assert [np.unravel_index(one.argmax(), one.shape) for one in found] == [(1, 2), (3, 0)]
    against = gradcam.maps(classifier, layer, pixels, [0, 0], "binary")
    assert [one[at] for one, at in zip(against, [(1, 2), (3, 0)], strict=True)] == [0, 0], "it speaks against it"


@given(st.lists(st.lists(st.floats(-20, 20), min_size=3, max_size=3), min_size=1, max_size=4), st.floats(-50, 50))
def test_log_odds_are_those_of_the_probability_and_know_nothing_of_what_all_logits_share(rows, shift) -> None:
    logits = torch.tensor(rows, dtype=torch.float64)
    probability = networks.probabilities(logits, Task.MULTICLASS.value)
    rest = torch.stack([probability[:, [j for j in range(3) if j != k]].sum(dim=1) for k in range(3)], dim=1)
    odds = probability.log() - rest.log()  # of the rest's own sum: 1 - p has no digits left where p is nearly 1
    torch.testing.assert_close(gradcam.log_odds(logits, "multiclass"), odds, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(gradcam.log_odds(logits + shift, "multiclass"), gradcam.log_odds(logits, "multiclass"))
    assert gradcam.log_odds(logits, "multilabel").equal(logits)
    assert torch.logit(networks.probabilities(logits, "multilabel")).allclose(logits)


def test_an_overlay_leaves_what_is_not_looked_at_and_colours_what_is() -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    heat = np.zeros((8, 8), np.float32)
    heat[0, 0] = 1
    drawn = gradcam.overlay(pixels, heat)
    assert drawn.shape == (8, 8, 3)
    assert (drawn.reshape(-1, 3)[1:] == pixels.ravel()[1:, None]).all()
    red, green, blue = drawn[0, 0].tolist()
    assert red > green >= 0
    assert red > blue, "Turbo ends in red: channels are RGB"


def test_a_map_is_spread_over_the_image_on_its_own_scale() -> None:
    small = np.zeros((2, 3, 3), np.float32)
    small[0, 0, 2] = 1e-9
    wide = gradcam.spread(small, 30)
    assert wide.shape == (2, 30, 30)
    assert wide[0].max() == pytest.approx(1, abs=0.05)
    down, across = np.unravel_index(wide[0].argmax(), (30, 30))
    assert down < 10
    assert across >= 20
    assert not wide[1].any()


# --- sanity


def _smooth(random, count=4, size=32):
    maps = np.stack([gaussian_filter(random.random((size, size)), 3) for _ in range(count)])
    low, high = maps.min(axis=(1, 2), keepdims=True), maps.max(axis=(1, 2), keepdims=True)
    return ((maps - low) / (high - low)).astype(np.float32)


def test_ssim_is_that_of_the_paper_by_another_filter() -> None:
    """Wang et al. 2004, equation 13, with scipy's filter, whose edges mirror as OpenCV's do."""
    random = np.random.default_rng(0)
    a, b = _smooth(random, 2).astype(np.float64)

    def mean(values):
        return gaussian_filter(values, 1.5, radius=5, mode="mirror")

    cov = mean(a * b) - mean(a) * mean(b)
    var_a, var_b = mean(a * a) - mean(a) ** 2, mean(b * b) - mean(b) ** 2
    luminance = (2 * mean(a) * mean(b) + 1e-4) / (mean(a) ** 2 + mean(b) ** 2 + 1e-4)
    structure = (2 * cov + 9e-4) / (var_a + var_b + 9e-4)
    assert sanity.ssim(a, b) == pytest.approx(float((luminance * structure).mean()), abs=1e-9)
    assert sanity.ssim(a, a) == pytest.approx(1)


def test_equal_maps_are_flagged_and_unrelated_ones_are_not() -> None:
    random = np.random.default_rng(2)
    ours = _smooth(random)
    same = sanity.compare(ours, [ours, ours**2])
    assert (same["spearman"], same["changes"], same["images"], same["networks"]) == (1, False, 4, 2)
    assert "HARDLY CHANGE" in sanity.sentence(same)
    others = [_smooth(random) for _ in range(3)]
    found = sanity.compare(ours, others)
    assert found["changes"]
    assert "as they must" in sanity.sentence(found)
    expected = [np.corrcoef(rankdata(a), rankdata(b))[0, 1] for maps in others for a, b in zip(ours, maps, strict=True)]
    assert found["spearman"] == pytest.approx(np.mean(expected), abs=6e-4)


def test_empty_maps_are_not_compared() -> None:
    ours = _smooth(np.random.default_rng(3))
    partly = ours.copy()
    partly[0] = 0
    assert sanity.compare(partly, [ours])["images"] == 3
    none = sanity.compare(np.zeros_like(ours), [ours])
    assert none == {"spearman": None, "ssim": None, "images": 0, "networks": 1, "changes": None}
    assert "could not be checked" in sanity.sentence(none)


def test_explaining_takes_the_networks_own_random_weights_and_leaves_torchs_generator() -> None:
    header = Header("resnet18", "test", 64, ("a", "b"), "binary")
    torch.manual_seed(5)
    classifier = networks.untrained(header)
    pixels = dict(enumerate(_pixels(4, 64)))
    wanted = [Case(row, k, "") for row in range(4) for k in range(2)]
    before = torch.random.get_rng_state()
    seen = explain.explain(classifier, header, wanted, pixels, 5)
    assert torch.random.get_rng_state().equal(before)
    assert seen.maps.keys() == {(row, k) for row in range(4) for k in range(2)}
    assert all(heat.shape == (64, 64) and 0 <= heat.min() <= heat.max() <= 1 for heat in seen.maps.values())
    assert 0 < seen.sanity["images"] <= 8
    assert seen.sanity["networks"] == 3
    again = explain.explain(classifier, header, wanted, pixels, 5)
    assert explain.summary(again) == explain.summary(seen)
    assert explain.explain(classifier, header, [], {}, 5) is None
    assert explain.summary(None) is None
