"""What lies in a batch's folder and in its archives: any layout, any file name."""

import os
from pathlib import Path

from stages import files as archives
from stages.runtime import UserError


def entries(root: Path) -> list[str]:
    """Every file of a batch: :func:`on_disk`, and in place of a zip archive its members.

    An archive that is empty, or cannot be read, is an entry itself. Raises what :func:`on_disk` raises.
    """
    found = []
    for path in on_disk(root):
        whole = f"{root}/{path}"
        inside = archives.members(whole) if archives.is_archive(path) and not os.path.isdir(whole) else []  # noqa: PTH112
        found += [f"{path}/{member}" for member in inside] or [path]
    return sorted(found, key=os.fsencode)


def on_disk(root: Path) -> list[str]:
    """Everything under ``root`` that is not a folder, as sorted paths relative to it; hidden files count.

    Links to folders are entries too, and are not followed: they can lead in a circle, or out of the batch.

    Raises
    ------
    UserError
        If the batch is missing or empty, or a folder in it cannot be read: its files would be missing without a word.
    """
    if not root.is_dir():
        raise UserError(
            f"the folder {root} is not here: put the batch's DICOM files in it, or correct 'batches' in params.yaml"
        )

    def refuse(error: OSError) -> None:
        raise UserError(f"a folder in {root} cannot be read ({error.strerror}): give yourself the right to read it")

    found = []
    for folder, subfolders, files in os.walk(root, onerror=refuse):
        links = [name for name in subfolders if (Path(folder) / name).is_symlink()]
        found += [os.path.relpath(os.path.join(folder, name), root) for name in [*files, *links]]  # noqa: PTH118 - names that are no text
    if not found:
        raise UserError(
            f"the folder {root} is empty: put the batch's DICOM files in it, or take it out of 'batches' in params.yaml"
        )
    return sorted(found, key=os.fsencode)
