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


def test_weights_of_torchxrayvision_see_the_greys_they_were_trained_on():
    """A DenseNet-121 of one channel, from -1024 to 1024, with operating points beside its tensors."""
    torch.manual_seed(1)
    theirs = torchvision.models.densenet121(weights=None, num_classes=18)
    theirs.features.conv0 = torch.nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    theirs.eval()
    state = {**theirs.state_dict(), "op_threshs": torch.rand(18)}
    backbone, _ = states.fit(states.plain(state), "densenet121", "test", (-1024.0, 1024.0))
    theirs.classifier = torch.nn.Identity()
    pixels = torch.randint(0, 256, (2, 64, 64), dtype=torch.uint8)
    given = (2 * pixels.unsqueeze(1).float() / 255 - 1) * 1024  # torchxrayvision.datasets.normalize
    torch.testing.assert_close(backbone.eval()(networks.to_input(pixels)), theirs(given), rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_a_vit_as_timm_names_its_parts_gives_the_same_features():
    torch.manual_seed(1)
    vit = torchvision.models.vit_b_32(weights=None, image_size=64)
    ours = {
        "conv_proj.": "patch_embed.proj.",
        "class_token": "cls_token",
        "encoder.pos_embedding": "pos_embed",
        "encoder.ln.": "norm.",
        "encoder.layers.encoder_layer_": "blocks.",
        ".ln_": ".norm",
        ".self_attention.in_proj_": ".attn.qkv.",
        ".self_attention.out_proj.": ".attn.proj.",
        ".mlp.0.": ".mlp.fc1.",
        ".mlp.3.": ".mlp.fc2.",
        "heads.head.": "head.",
    }
    state = {}
    for key, value in vit.state_dict().items():
        for name, theirs in ours.items():
            key = key.replace(name, theirs)  # noqa: PLW2901 - one name after the other
        state[key] = value
    assert "blocks.11.attn.qkv.weight" in state
    backbone, size = states.fit(states.plain(state), "vit_b_32", "test")
    assert size == 64
    vit.heads = torch.nn.Identity()
    image = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(
            backbone.eval()(image), vit.eval()(image.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-4
        )


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
