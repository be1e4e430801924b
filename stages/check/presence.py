"""Is what params.yaml names there, and is nothing there that it no longer names?"""

from collections.abc import Iterable
from pathlib import Path

from stages.check.params import Params
from stages.runtime import UNFINISHED, UserError

PHANTOM = {Path("data/raw/site-a"), Path("data/raw/site-b"), Path("data/phantom.csv")}
"""What the supplier stages/phantom makes when it is asked for: it need not be there before."""

_OF_BATCHES = ["data/index", "data/quarantine", "data/restricted", "data/images", "data/features"]
_OF_RECIPES = ["models", "reports/cards", "reports/recipes"]
_OF_CROSS_VALIDATION = ["folds", "reports/folds"]
_OF_PRETRAINING = ["reports/pretrain"]


def require(given: Params) -> None:
    """Raise :class:`UserError` if a batch, the labels or the key is missing."""
    for batch in given.batches:
        folder = Path("data/raw") / batch
        _require(folder, f"batch '{batch}'", "add it with 'radrepro add-batch', or take it out of 'batches'")
        if folder.is_dir() and not any(folder.iterdir()):
            raise UserError(f"batch '{batch}': {folder} is empty: put its DICOM there, or take it out of 'batches'")
    _require(Path(given.split.labels), "the table of labels", "put it there, or correct split.labels")
    _require(given.ingest.key_file, "the key file", "copy it from where you keep it, or correct ingest.key_file")


def leftovers(
    batches: Iterable[str],
    recipes: Iterable[str],
    self_supervised: Iterable[str],
    cross_validated: Iterable[str] = (),
    folds: Iterable[int] = (),
) -> list[Path]:
    """Results of what is no longer named: later stages, or readers, would take them in with their folder."""
    crossed = set(cross_validated)
    kinds = [(_OF_BATCHES, set(batches)), (_OF_RECIPES, set(recipes)), (_OF_PRETRAINING, set(self_supervised))]
    kinds += [(_OF_CROSS_VALIDATION, crossed), ([f"folds/{name}" for name in crossed], {str(fold) for fold in folds})]
    named = [(folder, names) for folders, names in kinds for folder in folders]
    return sorted(
        path
        for folder, names in named
        for path in (Path(folder).iterdir() if Path(folder).is_dir() else ())
        # a folder has the whole name: a batch or recipe 'full.2' is not the 'full' that params.yaml still names
        if path.name not in {".gitignore", ".gitkeep"}
        and not path.name.startswith(UNFINISHED)
        and (path.name if path.is_dir() else path.stem) not in names
    )


def refuse_leftovers(given: Params) -> None:
    """Raise :class:`UserError` if there are any."""
    crossed = given.cross_validation
    found = leftovers(given.batches, given.recipes, given.self_supervised, crossed.recipes, crossed.folds)
    if found:
        named = ", ".join(path.as_posix() for path in found[:3]) + (" and others" if len(found) > 3 else "")  # noqa: PLR2004
        raise UserError(f"results of what params.yaml does not name: {named}: run 'radrepro tidy'")


def _require(path: Path, what: str, otherwise: str) -> None:
    if path.exists() or path in PHANTOM:
        return
    if path.with_name(path.name + ".dvc").exists():
        raise UserError(f"{what}: {path} is not on this machine: run 'dvc pull {path}.dvc'")
    raise UserError(f"{what}: {path} does not exist: {otherwise}")
