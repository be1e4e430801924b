"""What git holds: the code that ran, as a commit and the patch upon it, and the commit that sealed a chain."""

import functools
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dvc.ignore import DvcIgnorePatterns
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline import lineage
from pipeline.lineage import Stage
from stages.runtime import UserError

_OF_ANOTHER = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"}  # set where git itself starts us, in a hook
_FILE_MODES = ("100644", "100755")


@dataclass(frozen=True)
class Tree:
    """The files of a commit, with a patch upon it: their bytes by path."""

    files: Mapping[str, bytes]

    def md5(self, path: str) -> str | None:
        """Of a file or a directory, as DVC computes it; None if there is none."""
        if path in self.files:
            return _md5(self.files[path])
        ignored = DvcIgnore(self.files.get(".dvcignore", b"").decode(errors="replace").splitlines())
        inside = [name for name in self.files if name.startswith(f"{path}/") and not ignored(name)]
        entries = [
            {"md5": _md5(self.files[name]), "relpath": PurePosixPath(name).relative_to(path).as_posix()}
            for name in inside
        ]
        return lineage.directory_md5(entries) if entries else None


def has(commit: str) -> bool:
    """Whether this clone has ``commit``."""
    return bool(commit) and _try("cat-file", "-e", f"{commit}^{{commit}}") is not None


@contextmanager
def _scratch(commit: str, patch: str) -> Iterator[dict[str, str]]:
    """An index of its own that holds the commit with the patch; the repository gets no object and no change."""
    with tempfile.TemporaryDirectory() as folder:
        objects = _git("rev-parse", "--path-format=absolute", "--git-path", "objects").decode().strip()
        inherited = os.environ.get("GIT_ALTERNATE_OBJECT_DIRECTORIES")
        env = {
            "GIT_INDEX_FILE": f"{folder}/index",
            "GIT_OBJECT_DIRECTORY": f"{folder}/objects",
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.pathsep.join(filter(None, (objects, inherited))),
        }
        (Path(folder) / "objects").mkdir()
        _git("read-tree", commit, env=env)
        if patch:
            _git("apply", "--cached", "--whitespace=nowarn", "-", env=env, given=patch.encode())
        yield env


def tree(commit: str, patch: str, paths: Sequence[str]) -> Tree:
    """The files at or under ``paths``, and .dvcignore, as they were in ``commit`` with ``patch`` upon it.

    Raises
    ------
    UserError
        If the commit is not here, or the patch does not fit it.
    """
    if not has(commit):
        raise UserError(f"commit {commit} is not in this clone: git fetch it")
    with _scratch(commit, patch) as env:
        listed = _git("ls-files", "--stage", "-z", "--", ".dvcignore", *paths, env=env).decode()
        blobs = {}
        for line in filter(None, listed.split("\0")):
            about, path = line.split("\t", 1)
            mode, blob, _ = about.split()
            if mode in _FILE_MODES:
                blobs[path] = blob
        contents = list(_contents(blobs.values(), env))
    return Tree({path: content for path, content in zip(blobs, contents, strict=True) if content is not None})


def on_disk(paths: Sequence[str]) -> Tree:
    """The files at or under ``paths`` as they are in the workspace now."""
    found: dict[str, Path] = {}
    for name in (".dvcignore", *paths):
        path = Path(name)
        files = path.rglob("*") if path.is_dir() else [path]
        found |= {one.as_posix(): one for one in files if one.is_file() and one.suffix != ".pyc"}
    return Tree({name: path.read_bytes() for name, path in found.items()})


def sealed_by(stages: Sequence[Stage], mark: str, only: str = "") -> str:
    """The first commit that holds each of these stages in its lock files, as they are; "" if none does.

    A chain is logged before its lock is committed, and the lock gains the entry of `track` after that: so a commit is
    known by the entries, not by the file's own hash. ``mark`` is a hash that such a lock must hold: it saves parsing.
    With ``only``, that commit alone is looked at.
    """
    wanted: dict[str, dict[str, str]] = {}
    for stage in stages:
        wanted.setdefault(lock_of(stage.name), {})[stage.name] = stage.sha256
    listed = _try("log", "--all", "--reverse", "--topo-order", "--format=%H", "--", *wanted)
    commits = [only] if only else (listed or b"").decode().split()
    names = [f"{commit}:{path}" for commit in commits for path in wanted]
    contents = dict(zip(names, _contents(names), strict=True))
    known: dict[tuple[str, bytes], bool] = {}
    for commit in commits:
        texts = {path: contents[f"{commit}:{path}"] or b"" for path in wanted}
        if not any(mark.encode() in text for text in texts.values()):
            continue
        for at in texts.items():
            if at not in known:
                known[at] = _holds(*at, wanted[at[0]])
        if all(known[at] for at in texts.items()):
            return commit
    return ""


def lock_of(stage: str) -> str:
    """The file that holds a stage's entry: a lock, or the ``.dvc`` file that it is."""
    if stage.endswith(".dvc"):
        return stage
    return str(PurePosixPath(stage.partition(":")[0] if ":" in stage else "dvc.yaml").with_suffix(".lock"))


@functools.lru_cache(maxsize=32)  # 0.2 s for a lock of 60 kB, and the same is read here, in git and in MLflow
def stages_in(path: str, text: str) -> tuple[Stage, ...]:
    """The stages of one lock file or ``.dvc`` file. Raises :class:`UserError` if it cannot be read."""
    try:
        content = YAML(typ="safe").load(text)
    except (YAMLError, ValueError):
        content = None
    if not isinstance(content, dict):
        raise UserError(f"{path} is damaged: it is no YAML mapping")
    try:
        if path.endswith(".dvc"):
            return (lineage.stage_of_pointer(path, content),)
        return tuple(lineage.stages_of_lock(content, str(PurePosixPath(path).with_suffix(".yaml"))))
    except (AttributeError, KeyError, TypeError):
        raise UserError(f"{path} is damaged: it is no lock of DVC's") from None


def date(commit: str) -> str:
    """When it was committed, as ISO 8601."""
    return (_try("show", "--no-patch", "--format=%cI", commit) or b"").decode().strip()


def file(commit: str, path: str) -> bytes | None:
    """A file of a commit; None if it has none."""
    return next(_contents([f"{commit}:{path}"]))


def _holds(path: str, text: bytes, wanted: Mapping[str, str]) -> bool:
    try:
        found = {stage.name: stage.sha256 for stage in stages_in(path, text.decode())}
    except (UserError, UnicodeDecodeError):  # a commit of a damaged lock is not the one that is looked for
        return False
    return all(found.get(name) == sha256 for name, sha256 in wanted.items())


def _contents(names: Iterable[str], env: Mapping[str, str] | None = None) -> Iterator[bytes | None]:
    """Of each object, in order; None where it is not here."""
    asked = list(names)
    answer = _git("cat-file", "--batch", env=env, given="".join(f"{name}\n" for name in asked).encode())
    at = 0
    for _ in asked:
        end = answer.index(b"\n", at)
        head = answer[at:end]
        at = end + 1
        if head.endswith((b" missing", b" ambiguous")):
            yield None
            continue
        size = int(head.rsplit(b" ", 1)[1])
        yield answer[at : at + size]
        at += size + 1


class DvcIgnore:
    """Which files DVC leaves out of a directory, by the .dvcignore at the repository's top."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._patterns = DvcIgnorePatterns([line for line in lines if line.strip()], "/", "/")

    def __call__(self, path: str) -> bool:
        """Whether the file at ``path``, or a folder that it is in, is left out."""
        pure = PurePosixPath("/") / path
        folders = [folder for folder in pure.parents if folder.name]
        return any(self._matches(folder, is_dir=True) for folder in folders) or self._matches(pure, is_dir=False)

    def _matches(self, path: PurePosixPath, *, is_dir: bool) -> bool:
        return bool(self._patterns.matches(str(path.parent), path.name, is_dir))


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _try(*arguments: str) -> bytes | None:
    done = _run(arguments, {}, b"")
    return done.stdout if done.returncode == 0 else None


def _git(*arguments: str, env: Mapping[str, str] | None = None, given: bytes = b"") -> bytes:
    done = _run(arguments, env or {}, given)
    if done.returncode != 0:
        said = " ".join(done.stderr.decode(errors="replace").split())
        raise UserError(f"git {arguments[0]} fails ({said[:200]}): run this at the top of a git clone of the project")
    return done.stdout


def _run(arguments: Sequence[str], env: Mapping[str, str], given: bytes) -> "subprocess.CompletedProcess[bytes]":
    inherited = {name: value for name, value in os.environ.items() if name not in _OF_ANOTHER}
    command = ["git", *arguments]
    try:
        return subprocess.run(command, env={**inherited, **env}, input=given, capture_output=True, check=False)
    except FileNotFoundError:
        raise UserError("git is not installed: install it") from None
