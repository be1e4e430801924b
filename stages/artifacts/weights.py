"""``weights/<name>.safetensors``: a backbone to start from, see :func:`stages.networks.load_backbone`."""

from pathlib import Path


def path(name: str) -> Path:
    """Where the weights called ``name`` in params.yaml lie."""
    return Path("weights") / f"{name}.safetensors"
