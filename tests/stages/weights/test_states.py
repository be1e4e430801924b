import os
import pickle

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from stages import networks
from stages.networks import Classifier, Header
from stages.runtime import UserError
from stages.weights import states


@pytest.fixture(scope="module")
def published():
    """A ResNet as torchvision publishes one: three channels, thousand classes."""
    torch.manual_seed(3)
    return torchvision.models.resnet18(weights=None)


def _fitted(path):
    return states.fit(states.plain(states.read(path)), "resnet18", str(path))[0].eval()


def _expected(published, image):
    network = torchvision.models.resnet18(weights=None)
    network.load_state_dict(published.state_dict())
    network.fc = torch.nn.Identity()
    return network.eval()(image.expand(-1, 3, -1, -1))


@pytest.mark.parametrize("shape", ["plain", "state_dict", "data_parallel", "safetensors", "old"])
def test_files_as_others_save_them_give_the_same_features(workspace, published, shape):
    state = dict(published.state_dict())
    path = workspace / "published.pth"
    if shape == "safetensors":
        path = workspace / "published.safetensors"
        save_file(state, path)
    elif shape == "state_dict":
        torch.save({"state_dict": state, "epoch": 3}, path)
    elif shape == "data_parallel":
        torch.save({f"module.{key}": value for key, value in state.items()}, path)
    elif shape == "old":
        torch.save({key: value for key, value in state.items() if "num_batches" not in key}, path)
    else:
        torch.save(state, path)
    image = torch.rand(2, 1, 64, 64)
    torch.testing.assert_close(_fitted(path)(image), _expected(published, image), rtol=1e-4, atol=1e-4)


def test_a_model_of_ours_is_a_starting_point_too(workspace):
    backbone, width = networks.build_backbone("resnet18", 32)
    networks.save_classifier(
        workspace / "model.safetensors",
        Classifier(backbone, width, 2),
        Header("resnet18", "", 32, ("a", "b"), "binary"),
    )
    image = torch.rand(2, 1, 32, 32)
    assert torch.equal(_fitted(workspace / "model.safetensors")(image), backbone.eval()(image))


def test_densenet_keys_of_old_files_are_translated():
    old = {"features.denseblock1.denselayer1.norm.1.weight": torch.ones(1), "features.norm0.weight": torch.ones(1)}
    assert set(states.plain(old)) == {"features.denseblock1.denselayer1.norm1.weight", "features.norm0.weight"}


def test_heads_that_only_help_training_are_left_out():
    state = torchvision.models.googlenet(weights=None, init_weights=True, aux_logits=True).state_dict()
    backbone, _ = states.fit(state, "googlenet", "test")
    assert torch.equal(backbone.conv2.conv.weight, state["conv2.conv.weight"])


@pytest.mark.slow
def test_a_vit_says_itself_what_image_size_it_was_made_for():
    state = torchvision.models.vit_b_32(weights=None, image_size=96).state_dict()
    _, size = states.fit(state, "vit_b_32", "test")
    assert size == 96


def test_another_architecture_is_explained(workspace, published):
    torch.save(published.state_dict(), workspace / "a.pth")
    with pytest.raises(UserError, match=r"a\.pth: tensors do not fit: .* missing .* unexpected .*architecture"):
        states.fit(states.read(workspace / "a.pth"), "mobilenet_v3_small", "a.pth")


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trapped",)


def test_nothing_is_ever_unpickled(workspace):
    torch.save({"weight": torch.ones(1), "trap": Trap()}, workspace / "a.pth")
    (workspace / "b.pth").write_bytes(pickle.dumps(Trap()))
    torch.save(torch.nn.Linear(2, 2), workspace / "c.pth")
    for name in "abc":
        with pytest.raises(UserError, match="holds more than tensors"):
            states.read(workspace / f"{name}.pth")
    assert not (workspace / "trapped").exists()


def test_a_file_that_is_no_weights_is_explained(workspace):
    with pytest.raises(UserError, match="is not here"):
        states.read(workspace / "a.pth")
    (workspace / "a.safetensors").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="not a whole file of weights"):
        states.read(workspace / "a.safetensors")
    torch.save({"state_dict": {}}, workspace / "a.pth")
    with pytest.raises(UserError, match="no state dictionary"):
        states.read(workspace / "a.pth")
    torch.save(torch.ones(100), workspace / "b.pth")
    content = (workspace / "b.pth").read_bytes()
    (workspace / "b.pth").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError):
        states.read(workspace / "b.pth")
