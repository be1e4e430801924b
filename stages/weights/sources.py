"""A starting point of each kind: its backbone, and the header that says where it comes from."""

import logging
from hashlib import file_digest
from pathlib import Path

import torch
from torch import nn

from stages import networks
from stages.networks import Header
from stages.runtime import UserError
from stages.weights import published, states
from stages.weights.params import File, Random, Starter, Torchvision, WeightsEntry

STARTER = Path(__file__).with_name("starter.safetensors")
_RANDOM_SIZE = 224

log = logging.getLogger("radrepro")


def starting_point(entry: WeightsEntry, seed: int) -> tuple[nn.Module, Header]:
    """The backbone that ``entry`` describes. Raises :class:`~stages.runtime.UserError` as each source does."""
    match entry:
        case Starter():
            backbone, _, header = networks.load_backbone(STARTER)
            return backbone, header
        case Torchvision():
            return _torchvision(entry)
        case File():
            return _file(entry)
        case Random():
            torch.manual_seed(seed)
            backbone, _ = networks.build_backbone(entry.architecture, _RANDOM_SIZE)
            return backbone, Header(entry.architecture, f"random, seed {seed}", _RANDOM_SIZE)


def _torchvision(entry: Torchvision) -> tuple[nn.Module, Header]:
    found = published.find(entry.architecture, entry.weights)
    path = published.fetch(found)
    backbone, size = states.fit(states.plain(states.read(path)), entry.architecture, found.name)
    return backbone, Header(entry.architecture, f"torchvision {path.stem}", size, recipe=found.recipe)


def _file(entry: File) -> tuple[nn.Module, Header]:
    path = Path(entry.path)
    state = states.read(path)
    with path.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    if entry.sha256 is None:
        log.warning("DVC does not see when %s changes: add 'sha256: %s' to this entry of params.yaml", path, digest)
    elif entry.sha256 != digest:
        raise UserError(f"{path} has SHA-256 {digest}, not what params.yaml says: correct the one or the other")
    levels = tuple(entry.black_white or ())
    backbone, size = states.fit(states.plain(state), entry.architecture, str(path), levels)
    return backbone, Header(entry.architecture, f"file {path.name} sha256 {digest}", size, black_white=levels)
