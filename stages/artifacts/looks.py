"""``reports/test_looks.csv``: which models were judged on which test side, a line for each, only ever added to.

A test side that has judged many models says less of the best of them. The file is in git, where branches that are
merged add their lines up (.gitattributes), and no output of DVC's, which would remove it before a stage runs.
"""

import csv
import hashlib
import shutil
from pathlib import Path

from filelock import FileLock

from stages.artifacts.cohort import Cohort
from stages.runtime import STATE, UserError, atomic_file

PATH = Path("reports/test_looks.csv")
SEEN = STATE / "test_looks.csv"
"""All that was ever in the table on this machine: ``dvc exp apply``, or git, can put an older one in its place."""
COLUMNS = ["test", "model", "recipe"]
"""SHA-256 of the test side (:func:`key`) and of model.safetensors, and the recipe that made it."""


def key(test: Cohort) -> str:
    """SHA-256 of a test side: which images, with which labels; the same for its rows in any order."""
    columns = ["image", *(f"label:{name}" for name in test.classes)]
    text: str = test.frame[columns].sort_values("image").to_csv(index=False, lineterminator="\n")
    return hashlib.sha256(text.encode()).hexdigest()


def record(test: str, weights: Path, recipe: str, path: Path = PATH) -> None:
    """Add that the model in the file ``weights`` is judged on ``test``; a model that was judged before is no new look.

    Recipes may be evaluated at once: one adds at a time. Lines that the table has lost come back.

    Raises
    ------
    UserError
        If the table is damaged.
    """
    with weights.open("rb") as file:
        model = hashlib.file_digest(file, "sha256").hexdigest()
    lock = STATE / "locks" / "test_looks.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
        have = _read(path)
        wanted = (_read(SEEN) if SEEN.exists() else {}) | {(test, model): recipe}
        new = [f"{','.join(look)},{by}\n" for look, by in wanted.items() if look not in have]
        whole = path.read_bytes().endswith(b"\n")  # an editor may have taken the last line's end
        with path.open("a", encoding="utf-8") as table:
            table.write("".join(["" if whole or not new else "\n", *new]))
        with atomic_file(SEEN) as beside:
            shutil.copyfile(path, beside)


def count(test: str, path: Path = PATH) -> int:
    """How many models the side ``test`` has judged. Raises :class:`UserError` if the table is missing or damaged."""
    return sum(side == test for side, _ in _read(path))


def _read(path: Path) -> dict[tuple[str, str], str]:
    """The recipe of each look, by test side and model."""
    try:
        with path.open(encoding="utf-8", newline="") as table:
            rows = [row for row in csv.reader(table) if row]
    except FileNotFoundError:
        raise UserError(f"{path} is not here: restore it ('git checkout -- {path}')") from None
    if not rows or rows[0] != COLUMNS or any(len(row) != len(COLUMNS) for row in rows):
        raise UserError(f"{path} is not a table of {', '.join(COLUMNS)}: restore it ('git checkout -- {path}')")
    return {(side, model): recipe for side, model, recipe in rows[1:]}
