import pytest
import torch

from stages import blocks, networks
from stages.runtime import UserError

FAMILIES = {
    "alexnet": 4,
    "vgg11": 6,
    "vgg11_bn": 6,
    "resnet18": 5,
    "densenet121": 8,
    "squeezenet1_1": 9,
    "googlenet": 12,
    "mobilenet_v2": 19,
    "mobilenet_v3_small": 14,
    "mnasnet0_5": 8,
    "shufflenet_v2_x0_5": 5,
    "efficientnet_b0": 9,
    "regnet_y_400mf": 5,
    "convnext_tiny": 8,
    "vit_b_32": 13,
    "swin_t": 8,
    "maxvit_t": 6,
}


@pytest.fixture(scope="module")
def backbone():
    made = {}

    def build(name):
        if name not in made:
            made[name] = networks.build_backbone(name, 224)[0].eval()
        return made[name]

    return build


@pytest.mark.parametrize(("name", "count"), FAMILIES.items())
def test_the_blocks_hold_every_parameter_once_and_follow_the_data(backbone, name, count):
    network = backbone(name)
    row = blocks.split(network)
    assert len(row) == count
    held = [parameter for block in row for parameter in block.parameters(network)]
    assert sorted(held) == sorted(parameter for parameter, _ in network.named_parameters())

    seen = []
    for place, block in enumerate(row):
        for module in block.modules:
            network.get_submodule(module).register_forward_hook(lambda *_, place=place: seen.append(place))
    with torch.inference_mode():
        network(torch.zeros(1, 1, 224, 224))
    assert seen == sorted(seen)
    assert set(seen) == set(range(count))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_truncated_backbone_is_the_beginning_of_the_whole_one(name):
    torch.manual_seed(0)
    whole = networks.build_backbone(name, 224)[0]
    row = blocks.split(whole)
    keep = len(row) // 2
    beginning = {parameter for block in row[:keep] for parameter in block.parameters(whole)}
    state = {key: value.clone() for key, value in whole.state_dict().items()}
    features = blocks.truncate(whole, keep, 224)
    assert {parameter for parameter, _ in whole.named_parameters()} == beginning
    assert all(torch.equal(value, state[key]) for key, value in whole.state_dict().items())
    whole.eval()
    with torch.inference_mode():
        assert whole(torch.zeros(2, 1, 224, 224)).shape == (2, features)


def test_too_many_blocks_are_told(backbone):
    with pytest.raises(UserError, match="blocks: 5: resnet18 has 5: choose from 1 to 4"):
        blocks.require(blocks.split(backbone("resnet18")), 5, "resnet18")
