import json

import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from stages import networks
from stages.networks import MEAN, STD, Classifier, Header
from stages.runtime import UserError
from stages.weights.architectures import ARCHITECTURES


def _large(*case):
    return pytest.param(*case, marks=pytest.mark.slow, id=case[0])


# One of each family, at the smallest size it takes; and the width of what comes before its classes.
FAMILIES = [
    ("resnet18", 32, 512),
    ("mobilenet_v2", 32, 1280),
    ("mobilenet_v3_small", 32, 1024),
    ("densenet121", 32, 1024),
    ("efficientnet_b0", 32, 1280),
    ("regnet_y_400mf", 32, 440),
    ("shufflenet_v2_x0_5", 32, 1024),
    ("mnasnet0_5", 32, 1280),
    ("squeezenet1_1", 32, 512),
    ("googlenet", 32, 1024),
    _large("alexnet", 64, 4096),
    _large("vgg11", 32, 4096),
    _large("convnext_tiny", 32, 768),
    _large("swin_t", 32, 768),
    _large("vit_b_32", 64, 768),
    _large("inception_v3", 75, 2048),
]
HEADER = Header("resnet18", "test", 32)


@pytest.fixture
def resnet():
    torch.manual_seed(0)
    return networks.build_backbone("resnet18", 32)[0].eval()


@pytest.mark.parametrize(("architecture", "size", "width"), FAMILIES)
def test_a_grey_image_gives_what_the_tripled_image_gives_without_the_last_layer(architecture, size, width):
    torch.manual_seed(1)
    options = {"image_size": size} if architecture == "vit_b_32" else {}
    if architecture in {"googlenet", "inception_v3"}:
        options = {"aux_logits": False, "init_weights": True}
    rgb = torchvision.models.get_model(architecture, weights=None, **options).eval()
    last = [name for name, module in rgb.named_modules() if isinstance(module, torch.nn.Linear)]
    last = last[-1] if last else "classifier.1"  # SqueezeNet's convolution
    rgb.set_submodule(last, torch.nn.Identity())
    grey, features = networks.build_backbone(architecture, size)
    networks.load_state(grey.eval(), networks.fit_state(rgb.state_dict(), grey, size), "test")

    image = torch.rand(2, 1, size, size)
    levels = (image - 0.5) / 0.5 if architecture in {"googlenet", "inception_v3"} else (image - MEAN) / STD
    with torch.inference_mode():
        expected = rgb(levels.expand(-1, 3, -1, -1))
        found = grey((image - MEAN) / STD)
    assert found.shape == (2, features) == (2, width)
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_architectures_are_those_that_params_yaml_may_name():
    assert set(networks.architectures()) == ARCHITECTURES


def test_a_misspelt_architecture_is_told_with_its_neighbours():
    with pytest.raises(UserError, match="'resnet19': choose another, such as resnet1"):
        networks.build_backbone("resnet19", 32)


@pytest.mark.parametrize(("architecture", "size"), [("vit_b_32", 60), ("inception_v3", 32), ("maxvit_t", 96)])
def test_an_image_size_that_does_not_fit_is_told(architecture, size):
    with pytest.raises(UserError, match=rf"{architecture} does not take images of {size} pixels .*preprocess\.size"):
        networks.build_backbone(architecture, size)


def test_weights_come_back_as_they_were(workspace, resnet):
    path = workspace / "weights" / "a.safetensors"
    header = Header("resnet18", "ours", 32, recipe="long", licence="CC0")
    networks.save_backbone(path, resnet, header)
    loaded, features, found = networks.load_backbone(path)
    image = torch.rand(2, 1, 32, 32)
    assert (found, features) == (header, 512)
    assert torch.equal(loaded.eval()(image), resnet(image))


def test_a_classifier_comes_back_as_it_was(workspace, resnet):
    classifier = Classifier(resnet, 512, 3).eval()
    header = Header("resnet18", "ours", 32, ("normal", "pneumonia", "Erguß"), "multiclass", temperature=4 / 3)
    networks.save_classifier(workspace / "model.safetensors", classifier, header)
    loaded, found = networks.load_classifier(workspace / "model.safetensors")
    image = torch.rand(2, 1, 32, 32)
    assert found == header
    assert torch.equal(loaded.eval()(image), classifier(image))


def test_a_classifier_of_before_there_were_temperatures_has_none(workspace, resnet):
    path = workspace / "model.safetensors"
    networks.save_classifier(path, Classifier(resnet, 512, 2), Header("resnet18", "", 32, ("a", "b"), "binary"))
    with safe_open(path, framework="pt") as file:
        metadata = dict(file.metadata())
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no mapping
    del metadata["temperature"]
    path.write_bytes(networks.to_bytes(state, metadata))
    assert networks.load_classifier(path)[1].temperature == 1.0


def test_probabilities_are_of_logits_by_the_temperature():
    logits = torch.tensor([[2.0, -1.0, 0.5]], dtype=torch.float64)
    assert torch.equal(networks.probabilities(logits, "multiclass", 2.0), torch.softmax(logits / 2, dim=1))
    assert torch.equal(networks.probabilities(logits, "multilabel", 0.5), torch.sigmoid(logits * 2))


def test_the_same_weights_are_the_same_bytes():
    tensors = {"b": torch.ones(3), "a": torch.zeros(2)}
    metadata = {key: key for key in "abcdefgh"}
    assert len({networks.to_bytes(tensors, metadata) for _ in range(5)}) == 1


def test_the_header_is_readable_by_any_safetensors_reader(workspace, resnet):
    networks.save_backbone(workspace / "a.safetensors", resnet, HEADER)
    with safe_open(workspace / "a.safetensors", framework="pt") as file:
        metadata = file.metadata()
        assert torch.equal(file.get_tensor("conv1.weight"), resnet.conv1.weight)
    wanted = {"format": "radrepro-weights-1", "architecture": "resnet18", "in_channels": "1", "image_size": "32"}
    assert wanted.items() <= metadata.items()
    assert json.loads(metadata["classes"]) == []


def test_half_precision_is_loaded_as_single(workspace, resnet):
    networks.save_backbone(workspace / "a.safetensors", resnet, HEADER)
    with safe_open(workspace / "a.safetensors", framework="pt") as file:
        metadata, names = file.metadata(), list(file.keys())
        half = {name: file.get_tensor(name) for name in names}
    half = {name: value.half() if value.is_floating_point() else value for name, value in half.items()}
    save_file(half, workspace / "half.safetensors", metadata)
    loaded, _, _ = networks.load_backbone(workspace / "half.safetensors", 64)
    assert loaded.conv1.weight.dtype == torch.float32
    assert torch.equal(loaded.conv1.weight, resnet.conv1.weight.half().float())


def test_position_embeddings_of_a_vit_are_resampled_to_the_image_size(workspace):
    vit, _ = networks.build_backbone("vit_b_32", 64)
    networks.save_backbone(workspace / "a.safetensors", vit, Header("vit_b_32", "test", 64))
    larger, features, header = networks.load_backbone(workspace / "a.safetensors", 96)
    assert larger.eval()(torch.zeros(1, 1, 96, 96)).shape == (1, features)
    assert header.image_size == 64
    assert torch.equal(larger.encoder.pos_embedding[:, 0], vit.encoder.pos_embedding[:, 0])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors, _: tensors.pop("conv1.weight"), r"1 missing \(conv1.weight\)"),
        (lambda tensors, _: tensors.update(extra=torch.zeros(1)), r"1 unexpected \(extra\)"),
        (lambda tensors, _: tensors.update({"conv1.weight": torch.zeros(2, 1, 7, 7)}), "of another shape"),
        (lambda _, metadata: metadata.update(format="other"), "is not of format radrepro-weights-1"),
        (lambda _, metadata: metadata.update(mean="0.5"), r"made for mean 0.5, this version uses 0.449"),
    ],
)
def test_a_file_that_does_not_fit_is_explained(workspace, resnet, change, said):
    networks.save_backbone(workspace / "a.safetensors", resnet, HEADER)
    with safe_open(workspace / "a.safetensors", framework="pt") as file:
        metadata, names = file.metadata(), list(file.keys())
        tensors = {name: file.get_tensor(name) for name in names}
    change(tensors, metadata)
    save_file(tensors, workspace / "a.safetensors", metadata)
    with pytest.raises(UserError, match=said):
        networks.load_backbone(workspace / "a.safetensors", 32)


def test_a_file_that_is_missing_or_cut_short_is_explained(workspace, resnet):
    path = workspace / "a.safetensors"
    with pytest.raises(UserError, match="is not here"):
        networks.load_backbone(path, 32)
    networks.save_backbone(path, resnet, HEADER)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match="not a whole safetensors file"):
        networks.load_backbone(path, 32)


def test_input_is_normalised_grey():
    pixels = torch.tensor([[[0, 255], [51, 204]]], dtype=torch.uint8)
    expected = (torch.tensor([[[[0.0, 1.0], [0.2, 0.8]]]]) - 0.449) / 0.226
    torch.testing.assert_close(networks.to_input(pixels), expected)
    levels = torch.full((1, 2, 2), 51.0)
    networks.to_input(levels)
    assert levels.eq(51).all()  # its argument is left alone


@given(st.lists(st.lists(st.floats(-30, 30), min_size=3, max_size=3), min_size=1))
def test_probabilities_add_up_unless_several_may_be_true(rows):
    logits = torch.tensor(rows)
    torch.testing.assert_close(networks.probabilities(logits, "multiclass").sum(dim=1), torch.ones(len(rows)))
    torch.testing.assert_close(networks.probabilities(logits, "multilabel"), torch.sigmoid(logits))
