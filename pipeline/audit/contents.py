"""Where the bytes with a given hash are: in the workspace, in DVC's cache, in git, on a remote, or nowhere known."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc_objects.errors import ObjectDBError

from pipeline import history, lineage
from pipeline.lineage import File, Stage
from pipeline.text import nameless
from stages.runtime import UNFINISHED, UserError
from stages.settings import Settings

_EXCEPTIONS = (DvcException, ObjectDBError, OSError)


class Place(StrEnum):
    """Where a file of the chain was found, and that its bytes give its hash."""

    WORKSPACE = "here"
    CACHE = "in DVC's cache; the workspace has another version, or none"
    GIT = "in git"
    NOWHERE = "not here"
    CHANGED = "other bytes"


@dataclass(frozen=True)
class Found:
    """One file or directory: where, and which files of it are not as recorded (relative paths)."""

    place: Place
    differing: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    note: str = ""


class Contents:
    """Files by hash. ``claims`` are the hashes that the workspace's own lock files give its paths.

    A workspace file that is another version's, by the workspace's own lock, is no fault; one that its lock names and
    that has other bytes is.
    """

    def __init__(self, claims: dict[str, str]) -> None:
        self._claims = claims
        self.sealed = ""
        """The commit that holds the small results that are in git."""
        with Repo() as repo:
            self.cache = Path(repo.cache.local.path)
        self._workers = Settings().workers

    def listing(self, md5: str) -> list[dict[str, str]] | None:
        """What DVC lists in a directory; None where the listing is not here, or its bytes are others."""
        path = self._object(md5)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5.removesuffix(".dir"):
            return None
        found: list[dict[str, str]] = json.loads(content)
        return found

    def find(self, file: File) -> Found:
        """Look for a file or directory, and read every byte of what is found."""
        path = Path(file.path)
        if path.exists():
            found = self._in_workspace(file)
            if found.place is Place.WORKSPACE or self._claims.get(file.path) == file.md5:
                return found
        cached = self._in_cache(file)
        if cached.place is not Place.NOWHERE:
            return cached
        if self._in_git(file):
            return Found(Place.GIT)
        return Found(Place.NOWHERE)

    def path(self, file: File, inside: str = "") -> Path | None:
        """The file, or ``inside`` it if it is a directory, as a path whose bytes give its hash; None if not here."""
        at = Path(file.path) / inside if inside else Path(file.path)
        md5 = file.md5
        if inside:
            entries = {entry["relpath"]: entry["md5"] for entry in self.listing(file.md5) or []}
            if inside not in entries:
                return at if at.is_file() and self.find(file).place is Place.WORKSPACE else None
            md5 = entries[inside]
        for candidate in (at, self._object(md5)):
            if candidate.is_file() and _md5(candidate) == md5:
                return candidate
        return None

    def _object(self, md5: str) -> Path:
        return self.cache / md5[:2] / md5[2:]

    def _in_workspace(self, file: File) -> Found:
        path = Path(file.path)
        if not path.is_dir():
            same = _md5(path) == file.md5
            return Found(Place.WORKSPACE) if same else Found(Place.CHANGED)
        files = [one for one in path.rglob("*") if one.is_file() and not one.name.startswith(UNFINISHED)]
        entries = {one.relative_to(path).as_posix(): md5 for one, md5 in zip(files, self._md5s(files), strict=True)}
        if lineage.directory_md5({"md5": md5, "relpath": name} for name, md5 in entries.items()) == file.md5:
            return Found(Place.WORKSPACE)
        listed = self.listing(file.md5)
        if listed is None:
            return Found(Place.CHANGED, note="DVC's cache has no sound list of its files, so which one is not known")
        recorded = {entry["relpath"]: entry["md5"] for entry in listed}
        return Found(
            Place.CHANGED,
            tuple(sorted(name for name in recorded if name in entries and entries[name] != recorded[name])),
            tuple(sorted(set(recorded) - set(entries))),
            tuple(sorted(set(entries) - set(recorded))),
        )

    def _in_cache(self, file: File) -> Found:
        whole = self._object(file.md5)
        if not whole.is_file():
            return Found(Place.NOWHERE)
        if not file.md5.endswith(".dir"):
            same = _md5(whole) == file.md5
            return Found(Place.CACHE) if same else Found(Place.CHANGED, note="in DVC's cache")
        entries = self.listing(file.md5)
        if entries is None:
            return Found(Place.CHANGED, note="in DVC's cache, the list of its files")
        objects = [self._object(entry["md5"]) for entry in entries]
        if not all(one.is_file() for one in objects):
            return Found(Place.NOWHERE)
        md5s = self._md5s(objects)
        differing = [entry["relpath"] for entry, md5 in zip(entries, md5s, strict=True) if entry["md5"] != md5]
        if differing:
            return Found(Place.CHANGED, tuple(sorted(differing)), note="in DVC's cache")
        return Found(Place.CACHE)

    def _in_git(self, file: File) -> bool:
        """Small results are in git, where the chain was sealed."""
        content = history.file(self.sealed, file.path) if self.sealed else None
        return content is not None and hashlib.md5(content, usedforsecurity=False).hexdigest() == file.md5

    def _md5s(self, files: Sequence[Path]) -> list[str]:
        with ThreadPoolExecutor(self._workers) as pool:  # hashing lets other threads run
            return list(pool.map(_md5, files))


def on_remote(files: Iterable[File]) -> tuple[str, set[str]]:
    """What to do about absent files: the default remote's name ("" if none is set), and which hashes it has.

    Raises
    ------
    UserError
        If the remote does not answer.
    """
    with Repo() as repo:
        name = repo.config["core"].get("remote") or ""
        if not name:
            return "", set()
        try:
            store: Any = repo.cloud.get_remote_odb()
            return name, {file.md5 for file in files if store.exists(file.md5)}
        except _EXCEPTIONS as error:
            said = nameless(" ".join(str(error).split()))
            raise UserError(f"the DVC remote '{name}' does not answer ({said[:200]}): see 'dvc remote list'") from None


def stages_here(files: Iterable[str]) -> dict[str, Stage]:
    """The stages in these lock and ``.dvc`` files as they are in the workspace now, by name; of a damaged one, none.

    That it is damaged is told where locks are checked.
    """
    found: dict[str, Stage] = {}
    for name in files:
        path = Path(name)
        if path.is_file():
            with suppress(UserError):
                text = path.read_text(encoding="utf-8", errors="replace")
                found |= {stage.name: stage for stage in history.stages_in(name, text)}
    return found


def claims(files: Iterable[str]) -> dict[str, str]:
    """The hash of every output that these lock and ``.dvc`` files give, as they are in the workspace now."""
    return {out.path: out.md5 for stage in stages_here(files).values() for out in stage.outputs}


def has_run(stages: Iterable[Stage], path: str, md5: str | None) -> bool:
    """Whether one of these stages read ``path`` with this hash: then what is edited here has made another version."""
    return any(file.path == path and file.md5 == md5 for stage in stages for file in (*stage.code, *stage.inputs))


def is_as_locked(stage: Stage) -> bool:
    """Whether all that the workspace's lock says of a stage's files is so, byte for byte."""
    return all(_is_code_as_locked(file) for file in stage.code) and all(
        _is_as_locked(file) for file in (*stage.inputs, *stage.outputs)
    )


def _is_code_as_locked(file: File) -> bool:
    path = Path(file.path)
    sized = not path.is_file() or file.size in {None, path.stat().st_size}
    return sized and history.on_disk([file.path]).md5(file.path) == file.md5


def _is_as_locked(file: File) -> bool:
    path = Path(file.path)
    if not path.is_dir():
        return path.is_file() and file.size in {None, path.stat().st_size} and _md5(path) == file.md5
    # DVC puts a .gitignore beside outputs, and counts none where a stage depends on a folder of them
    inside = [one for one in path.rglob("*") if one.is_file() and one.name != ".gitignore"]
    entries = [{"md5": _md5(one), "relpath": one.relative_to(path).as_posix()} for one in inside]
    counted = file.files in {None, len(inside)} and file.size in {None, sum(one.stat().st_size for one in inside)}
    return counted and lineage.directory_md5(entries) == file.md5


def batch_of(path: str) -> str:
    """The batch whose DICOM a path holds; "" for other paths."""
    parts = PurePosixPath(path).parts
    return parts[2] if parts[:2] == ("data", "raw") and len(parts) > 2 else ""  # noqa: PLR2004 - data/raw/<batch>


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
