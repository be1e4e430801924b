import logging
from hashlib import sha256

import pytest
import torch
import torchvision

from stages import networks, params
from stages.runtime import UserError
from stages.weights import published
from stages.weights.params import WeightsEntry
from stages.weights.published import Published
from stages.weights.sources import starting_point


def _entry(**values):
    return params.validate(values, WeightsEntry, "weights.test")


@pytest.fixture
def hub(workspace, monkeypatch):
    """Torch's cache, empty; and a published file elsewhere."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(workspace / "hub"))
    torch.manual_seed(4)
    state = torchvision.models.resnet18(weights=None).state_dict()
    torch.save(state, workspace / "saved.pth")
    digest = sha256((workspace / "saved.pth").read_bytes()).hexdigest()
    (workspace / "remote").mkdir()
    remote = (workspace / "saved.pth").rename(workspace / "remote" / f"resnet18-{digest[:8]}.pth")
    return workspace / "hub" / "checkpoints", remote, state


def test_published_weights_are_downloaded_once_and_checked(hub, monkeypatch):
    cache, remote, state = hub
    monkeypatch.setattr(published, "find", lambda *_: Published("resnet18 V1", remote.as_uri(), "a recipe"))
    entry = _entry(source="torchvision", architecture="resnet18")
    backbone, header = starting_point(entry, 1)
    assert torch.equal(backbone.layer1[0].conv1.weight, state["layer1.0.conv1.weight"])
    assert torch.equal(backbone.conv1.weight, state["conv1.weight"].sum(dim=1, keepdim=True))
    assert header.source == f"torchvision {remote.stem}"
    assert header.recipe == "a recipe"

    remote.unlink()  # from here on only the cache has it
    starting_point(entry, 1)
    (cache / remote.name).write_bytes(b"spoilt")
    with pytest.raises(UserError, match=r"is not what torchvision published .* delete it"):
        starting_point(entry, 1)


def test_a_download_with_another_hash_is_refused_and_not_kept(hub):
    cache, remote, _ = hub
    wrong = remote.rename(remote.with_name("resnet18-00000000.pth"))
    with pytest.raises(UserError, match="sent something else than was published"):
        published.fetch(Published("resnet18 V1", wrong.as_uri()))
    assert not list(cache.iterdir())


def test_without_a_network_the_alternatives_are_named(hub):
    cache, remote, _ = hub
    with pytest.raises(UserError, match="starter, file or random") as error:
        published.fetch(Published("resnet18 V1", f"http://127.0.0.1:9/{remote.name}"))
    assert str(cache / remote.name) in str(error.value)
    cache.mkdir(parents=True, exist_ok=True)
    remote.rename(cache / remote.name)  # put there by hand
    assert published.fetch(Published("resnet18 V1", f"http://127.0.0.1:9/{remote.name}")).exists()


def test_every_architecture_has_published_weights_with_a_hash():
    for architecture in networks.architectures():
        found = published.find(architecture, "DEFAULT")
        assert torch.hub.HASH_REGEX.search(found.url.rsplit("/", 1)[-1]), architecture


def test_unknown_weights_are_told_with_the_known_ones():
    with pytest.raises(UserError, match="choose one of IMAGENET1K_V1, IMAGENET1K_V2, DEFAULT"):
        published.find("resnet50", "IMAGENET21K")


def test_random_weights_are_those_of_the_seed():
    entry = _entry(source="random", architecture="mobilenet_v3_small")
    (one, header), (again, _), (other, _) = (starting_point(entry, seed) for seed in (1, 1, 2))
    stems = [backbone.features[0][0].weight for backbone in (one, again, other)]
    assert torch.equal(stems[0], stems[1])
    assert not torch.equal(stems[0], stems[2])
    assert header.source == "random, seed 1"


def test_a_file_is_held_to_its_digest(workspace, caplog):
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), workspace / "mine.pth")
    digest = sha256((workspace / "mine.pth").read_bytes()).hexdigest()
    values = {"source": "file", "architecture": "resnet18", "path": "mine.pth"}
    with caplog.at_level(logging.WARNING):
        _, header = starting_point(_entry(**values), 1)
    assert f"sha256: {digest}" in caplog.text
    assert header.source == f"file mine.pth sha256 {digest}"
    starting_point(_entry(**values, sha256=digest), 1)
    with pytest.raises(UserError, match=r"not what params\.yaml says"):
        starting_point(_entry(**values, sha256="0" * 64), 1)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"source": "torchvision", "architecture": "resnet19"}, "choose another, such as resnet1"),
        ({"source": "startr"}, "'source' is one of 'starter', 'torchvision', 'file', 'random'"),
        ({"architecture": "resnet18"}, "'source' is missing: add it"),
        ({"source": "starter", "architecture": "resnet18"}, "architecture: no such parameter"),
    ],
)
def test_a_faulty_entry_is_told(values, said):
    with pytest.raises(UserError, match=said):
        _entry(**values)
