"""Weights that torchvision publishes: downloaded once into torch's own cache, and never used without their hash."""

import logging
import socket
import sys
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from urllib.error import URLError

import torch
import torchvision

from stages.runtime import UserError

_PATIENCE_SECONDS = 30.0

log = logging.getLogger("radrepro")


@dataclass(frozen=True)
class Published:
    """Where weights are published; the address ends in ``-<first digits of their SHA-256>.pth``."""

    name: str
    url: str
    recipe: str = ""


def find(architecture: str, name: str) -> Published:
    """What torchvision calls ``name`` (``DEFAULT``, ``IMAGENET1K_V1``...). Raises UserError if there is no such."""
    known = torchvision.models.get_model_weights(architecture).__members__
    if name not in known:
        raise UserError(f"torchvision has no weights '{name}' of {architecture}: choose one of {', '.join(known)}")
    weights = known[name]
    return Published(f"{architecture} {weights.name}", weights.url, str(weights.meta.get("recipe", "")))


def fetch(published: Published) -> Path:
    """The file, from the cache or the network, its hash checked either way.

    Raises
    ------
    UserError
        If it cannot be downloaded, or is not the published one.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / published.url.rsplit("/", 1)[-1]
    match = torch.hub.HASH_REGEX.search(path.name)
    if match is None:
        raise UserError(f"{published.url} names no hash to check: fetch it yourself and use weights of source 'file'")
    expected = match.group(1)
    if not path.exists():
        _download(published, path, expected)
    with path.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    if not digest.startswith(expected):
        raise UserError(f"{path} is not what torchvision published (SHA-256 {digest[:8]}, not {expected}): delete it")
    return path


def _download(published: Published, path: Path, expected: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    log.info("downloading %s", published.url)
    usual = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE_SECONDS)  # torch sets none, and a silent network would hang the stage
    try:
        torch.hub.download_url_to_file(published.url, str(path), hash_prefix=expected, progress=sys.stderr.isatty())
    except (URLError, OSError) as error:
        raise UserError(
            f"cannot download {published.url} ({error}): put the file at {path} by hand, or choose weights of source "
            "starter, file or random"
        ) from None
    except RuntimeError as error:  # torch's for a wrong hash; nothing was kept
        raise UserError(f"{published.url} sent something else than was published ({error}): try again") from None
    finally:
        socket.setdefaulttimeout(usual)
