"""What an audit must notice."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def flipped(path: Path, at: int = -2) -> Iterator[None]:
    """One byte of a file has one bit that was not there."""
    before, mode = path.read_bytes(), path.stat().st_mode
    changed = bytearray(before)
    changed[at] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(changed))
    try:
        yield
    finally:
        path.write_bytes(before)
        path.chmod(mode)
