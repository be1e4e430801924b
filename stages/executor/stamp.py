"""What tells that a file has changed without reading it."""

from pathlib import Path


def stamp(path: Path) -> tuple[int, int] | None:
    """Size in bytes and time of change in ns; of a path that leads into an archive, the archive's; None for no file."""
    try:
        status = path.stat()
    except NotADirectoryError:
        return stamp(path.parent)
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return None
    return status.st_size, status.st_mtime_ns
