"""Which code a process runs: results of another are not taken up, and not taken from a cluster's worker."""

import functools
import hashlib
import platform
import sysconfig
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
"""The folder that holds ``stages``."""


@functools.cache
def fingerprint() -> str:
    """SHA-256 of the source of ``stages``, the interpreter's version, and the names and versions of all packages."""
    digest = hashlib.sha256()
    for path in sorted((SOURCE / "stages").rglob("*.py")):
        digest.update(f"{path.relative_to(SOURCE)}\0".encode() + path.read_bytes() + b"\0")
    packages = sorted(path.name for path in Path(sysconfig.get_path("purelib")).glob("*.dist-info"))
    digest.update("\n".join([platform.python_version(), platform.machine(), *packages]).encode())
    return digest.hexdigest()
