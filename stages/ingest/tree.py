"""What lies in a batch's folder and in its archives: any layout, any file name."""

import os
from pathlib import Path

from stages import files as archives
from stages.runtime import UserError


def entries(root: Path) -> list[str]:
    """Everything under ``root`` that is not a folder, as sorted paths relative to it; hidden files count.

    Links to folders are entries too, and are not followed: they can lead in a circle, or out of the batch. In place of
    a zip archive stand its members; one that is empty, or cannot be read, is an entry itself.

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
        for name in [*files, *links]:
            path = os.path.join(folder, name)  # noqa: PTH118 - names that are no text
            inside = archives.members(path) if archives.is_archive(name) and name not in links else []
            here = os.path.relpath(path, root)
            found += [f"{here}/{member}" for member in inside] or [here]
    if not found:
        raise UserError(
            f"the folder {root} is empty: put the batch's DICOM files in it, or take it out of 'batches' in params.yaml"
        )
    return sorted(found, key=os.fsencode)
