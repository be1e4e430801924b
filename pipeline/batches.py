"""Batches come and go: a folder of DICOM becomes a batch under DVC, all of it or nothing; leftovers are removed."""

import os
import secrets
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import label_table, subprocesses
from pipeline.edit import edit
from pipeline.text import nameless
from stages import labels, params, runtime
from stages.artifacts.cohort import Task
from stages.check.params import Params
from stages.check.presence import PHANTOM, leftovers
from stages.ingest import batch, tree
from stages.ingest.params import IngestParams
from stages.labels import Labels, labelled
from stages.pseudonyms import DEMO_KEY, Pseudonyms
from stages.runtime import UserError

KEY = Path("data/pseudonym.key")
LABELS = Path("data/labels.csv")
DVC_STATE = runtime.STATE / "dvc"
"""What DVC remembers of every file, by its path."""

_RAW = Path("data/raw")
_SPARE = 1.05
_COPIES = 2  # in data/raw and in DVC's cache, where the two cannot be links


def add_batch(name: str, source: Path, table: Path) -> str:
    """Copy ``source`` to ``data/raw/<name>``, put it and its labels under DVC, name it in params.yaml; say what came.

    The first batch takes the place of the demonstration's: it brings a secret key, and what it is labelled with decides
    the task. Where anything fails, everything is as it was.

    Raises
    ------
    UserError
        If the name is taken, there is nothing usable in the folder, no label meets an image, or the disk is too small.
    """
    with runtime.guarded("add-batch"), ExitStack() as undo:
        given = params.load()
        target = _free(name, source, given["batches"])
        first = {_RAW / known for known in given["batches"]} <= PHANTOM
        own = Path(given["ingest"]["key_file"]) != DEMO_KEY
        key = (Path(given["ingest"]["key_file"]) if own else KEY).as_posix()
        pseudonyms = Pseudonyms.from_file(Path(key)) if Path(key).exists() else Pseudonyms(fresh := _new_key())
        section = label_table.detect(table, name) if first else dict(given["split"])
        section["labels"] = LABELS.as_posix() if first else section["labels"]

        account = batch.scan(
            source,
            name,
            pseudonyms,
            params.validate(given["ingest"], IngestParams, "params.yaml", "ingest"),
            f"add-batch@{name}",
        )
        found = _read(table, section, [name], pseudonyms)
        fit = _fit(account.accepted, found, section)
        _require_room(source, target)

        _keep_paths_here(undo)
        if not Path(key).exists():
            _write_key(Path(key), fresh, undo)
        _copy(source, target, undo)
        merged = Path(section["labels"])
        _keep(merged, undo)
        _keep(merged.with_name(merged.name + ".dvc"), undo)
        known = set(account.accepted[found.level])
        others = label_table.merge(merged, table, name, section, lambda key: pseudonyms.of(found.level, key) in known)
        batches = [name] if first else [*given["batches"], name]
        _read(merged, section, batches, pseudonyms)  # rows of several batches must not contradict one another
        _keep(params.PATH, undo)
        changes = {("batches",): batches, ("ingest", "key_file"): key}
        edit(changes | {("split", name): value for name, value in section.items()})
        undo.callback(target.with_name(target.name + ".dvc").unlink, missing_ok=True)
        _under_dvc(target, merged)
        undo.pop_all()
    runtime.forget(f"add-batch@{name}")  # the scan's finished chunks hold paths

    removed = tidy() if first else ""
    lines = [f"{name}: {account.summary()}", *fit]
    if others:
        lines.append(f"{others} rows of the table meet no usable image of this batch, and were left out")
    if not own:
        lines.append(
            f"identifiers are hashed with the secret {key}: keep a copy of it elsewhere; without it later batches "
            "cannot be joined to these patients"
        )
    if first:
        lines.append(f"params.yaml now has this batch, its labels and its classes ({', '.join(section['classes'])})")
        lines.append(removed)
    pointers = f"data/raw/{name}.dvc {merged.as_posix()}.dvc params.yaml"
    return "\n".join([*lines, f"next: git add {pointers} && git commit -m 'Batch {name}', then dvc repro"])


def tidy() -> str:
    """Remove results of batches, recipes and self-supervised training that params.yaml no longer names; say which."""
    given = params.load()
    crossed = given.get("cross_validation") or {}
    found = leftovers(
        given["batches"],
        given["recipes"],
        given.get("self_supervised") or (),
        crossed.get("recipes", ()),
        crossed.get("folds", ()),
    )
    for path in found:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    if not found:
        return "nothing to tidy: params.yaml names what every result belongs to"
    return f"removed from the workspace (DVC's cache still has them): {', '.join(map(str, found))}"


def _free(name: str, source: Path, batches: list[str]) -> Path:
    target = _RAW / name
    if target in PHANTOM:
        raise UserError(f"'{name}' is a batch of the demonstration: choose another name")
    if name in batches:
        raise UserError(f"params.yaml has a batch '{name}' already, and a batch never changes: choose another name")
    params.validate({**params.load(), "batches": [name]}, Params, str(params.PATH))  # its name, and all the rest
    if not source.is_dir():
        raise UserError(f"{source} is not a folder: give the folder that holds the batch's DICOM files")
    if target.exists() and not target.samefile(source):
        raise UserError(f"{target} exists already: choose another name, or move that folder away")
    if not target.exists() and target.resolve().is_relative_to(source.resolve()):
        raise UserError(f"{source} holds this repository: give the folder of DICOM files alone")
    return target


def _read(table: Path, section: dict[str, Any], batches: list[str], pseudonyms: Pseudonyms) -> Labels:
    return labels.read(table, section["key"], Task(section["task"]), section["classes"], batches, pseudonyms)


def _fit(images: Any, found: Labels, section: dict[str, Any]) -> list[str]:
    """What a person wants to know of labels and images before a run; each doubt says what to do."""
    values = found.of(images)
    known = labelled(values)
    if not known.any():
        raise UserError(
            f"not one of the {len(found.values)} labels meets one of the {len(images)} images: is {section['key']} "
            "the column that names them, and is it the table of this folder?"
        )
    counts = ", ".join(
        f"{int(np.nansum(column))} {name}" for name, column in zip(section["classes"], values.T, strict=True)
    )
    patients = images["patient"].nunique()
    lines = [f"{int(known.sum())} of {len(images)} images of {patients} patients are labelled: {counts}"]
    if len(images) > known.sum() and section.get("unlabelled", "error") == "error":
        lines.append(
            f"{len(images) - int(known.sum())} images have no label, and 'dvc repro' will refuse them: add their "
            "labels, or set split.unlabelled: ignore in params.yaml"
        )
    return lines


def _require_room(source: Path, target: Path) -> None:
    size = sum((source / path).stat().st_size for path in tree.on_disk(source) if (source / path).is_file())
    copies = _COPIES if not target.exists() else _COPIES - 1
    free = shutil.disk_usage(_existing(target)).free
    if size * copies * _SPARE > free:
        raise UserError(
            f"the disk has {free / 2**30:.1f} GiB free, and this batch needs {size * copies * _SPARE / 2**30:.1f} GiB: "
            "make room first"
        )


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)


def _new_key() -> bytes:
    return secrets.token_hex(32).encode()


def _write_key(path: Path, key: bytes, undo: ExitStack) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    undo.callback(path.unlink, missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key + b"\n")


def _copy(source: Path, target: Path, undo: ExitStack) -> None:
    """Every file and archive, links to files as the files they lead to; in place at once, when all is there.

    Links to folders, pipes and devices hold no image, and stay where they are.
    """
    if target.exists():
        return
    undo.callback(shutil.rmtree, target, ignore_errors=True)
    paths = tree.on_disk(source)
    try:
        with runtime.atomic_directory(target) as beside:
            for path in runtime.progress(paths, len(paths), "files copied"):
                if (source / path).is_file():
                    (beside / path).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(source / path, beside / path)
    except OSError as error:
        raise UserError(f"the batch cannot be copied to {target} ({error.strerror}): nothing was added") from None


def _keep(path: Path, undo: ExitStack) -> None:
    """Put ``path`` back as it is now, should anything fail later."""
    if path.exists():
        undo.callback(path.write_bytes, path.read_bytes())
    else:
        undo.callback(path.unlink, missing_ok=True)


def _keep_paths_here(undo: ExitStack) -> None:
    """Let DVC keep what it remembers of files in this project: by default it is in /var/tmp, for every user to read."""
    if os.environ.get("DVC_SITE_CACHE_DIR") or _dvc("config", "core.site_cache_dir"):
        return  # somebody has chosen a place
    _keep(Path(".dvc/config.local"), undo)
    DVC_STATE.mkdir(mode=0o700, parents=True, exist_ok=True)
    _dvc("config", "--local", "core.site_cache_dir", str(DVC_STATE.resolve()))


def _under_dvc(*paths: Path) -> None:
    _dvc("add", "--quiet", *map(str, paths))


def _dvc(*arguments: str) -> list[str]:
    """What the command says. Raises :class:`~stages.runtime.UserError` if it fails."""
    said: list[str] = []
    if subprocesses.stream(subprocesses.dvc(*arguments), said.append) != 0:
        raise UserError(f"DVC cannot take it in ({nameless(' '.join(said))}): nothing was added")
    return said
