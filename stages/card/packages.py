"""Versions of the packages that results rest on, as requirements.lock pins them."""

import re

NAMED = ("pydicom", "imagecodecs", "opencv-python-headless", "numpy", "pandas", "scikit-learn", "torch", "torchvision")
"""What reads, computes and judges; the lock names some three hundred."""

_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", flags=re.MULTILINE)


def pinned(lock: str) -> dict[str, str]:
    """Versions by name, in the order of ``NAMED``; of several, each is for another Python.

    Raises
    ------
    ValueError
        If the lock lacks one.
    """
    found: dict[str, str] = {}
    for name, version in _PIN.findall(lock):
        found[name] = f"{found[name]} or {version}" if name in found else version
    if lost := [name for name in NAMED if name not in found]:
        raise ValueError(f"requirements.lock does not pin {', '.join(lost)}")
    return {name: found[name] for name in NAMED}
