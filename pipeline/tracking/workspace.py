"""What `track` tells MLflow, as it lies in the workspace: the locks and their chain, the commit, the environment."""

import hashlib
import json
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path, PurePosixPath
from typing import Any

from dvc.repo import Repo
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline import graph, lineage
from pipeline.lineage import Chain
from stages.artifacts import evaluation
from stages.runtime import UserError

_CONFIGURATION = {"dvc.yaml", "params.yaml", "pyproject.toml", "requirements.lock", "Makefile"}


@dataclass(frozen=True)
class Locks:
    """The lock files as they are now, whole, and the chain to the comparison and the cards that they hold."""

    texts: dict[str, str]  # by path
    chain: Chain

    @property
    def sha256(self) -> dict[str, str]:
        """Of each lock file."""
        return {path: hashlib.sha256(text.encode()).hexdigest() for path, text in self.texts.items()}


@dataclass(frozen=True)
class Commit:
    """The code's state in git. ``commit`` is empty where this is no git repository."""

    commit: str
    branch: str
    changed: tuple[str, ...]
    """Code and configuration that differ from the commit."""
    others: int
    """Other tracked files that differ, not counting what the pipeline itself writes."""
    patch: str
    """From the commit to ``changed``; nothing else enters it, for other files may name patients."""

    @property
    def dirty(self) -> bool:
        """Whether the commit is not what ran."""
        return bool(self.changed or self.others)


def locks() -> Locks:
    """Read them. Raises :class:`UserError` if one is missing or damaged."""
    names = graph.order()
    stages, texts = [], {}
    for path in dict.fromkeys(
        name.partition(":")[0] if ":" in name else graph.ROOT for name in names if _in_lock(name)
    ):
        lock = str(PurePosixPath(path).with_suffix(".lock"))
        texts[lock] = _text(Path(lock))
        stages += [stage for stage in lineage.stages_of_lock(_yaml(lock, texts[lock]), path) if stage.name in names]
    for pointer in (name for name in names if not _in_lock(name)):
        stages.append(lineage.stage_of_pointer(pointer, _yaml(pointer, _text(Path(pointer)))))
    with Repo() as repo:
        cache = Path(repo.cache.local.path)
    whole = lineage.chain(stages, lambda md5: _listing(cache, md5))
    cards = [stage.name for stage in whole.stages if stage.label.startswith("card@")]
    return Locks(texts, whole.upstream(whole.maker(str(evaluation.COMPARISON_PATH)).name, *cards))


def commit(written: Sequence[str]) -> Commit:
    """Ask git. ``written`` are paths that the pipeline itself writes: that they differ says nothing about the code."""
    head = _git("rev-parse", "--verify", "--quiet", "HEAD")
    if not head:
        return Commit("", "", (), 0, "")
    entries = _git("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all").split("\0")
    status = {entry[3:]: entry[:2] for entry in entries if entry}
    own = [path for path in status if any(path == out or path.startswith(f"{out}/") for out in written)]
    code = [path for path in status if path not in own and _is_code(path)]
    others = [path for path, state in status.items() if path not in {*own, *code} and state != "??"]
    new = [path for path in code if status[path] == "??"]
    tracked = [path for path in code if path not in new]
    patch = _git("diff", "HEAD", "--no-color", "--", *tracked) if tracked else ""
    patch += "".join(_git("diff", "--no-color", "--no-index", "--", "/dev/null", path) for path in new)
    return Commit(head.strip(), _git("branch", "--show-current").strip(), tuple(code), len(others), patch)


def environment() -> dict[str, Any]:
    """Python, the platform and the version of every installed package."""
    packages = {item.metadata["Name"]: item.version for item in distributions()}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
    }


def md5(path: Path) -> str:
    """Of a file or a directory, as DVC computes it (nothing in these directories is in .dvcignore)."""
    if path.is_dir():
        files = [file for file in path.rglob("*") if file.is_file()]
        return lineage.directory_md5(
            [{"md5": md5(file), "relpath": file.relative_to(path).as_posix()} for file in files]
        )
    return _digest(path, "md5")


def sha256(path: Path) -> str:
    """Of a file."""
    return _digest(path, "sha256")


def _digest(path: Path, algorithm: str) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, algorithm).hexdigest()
    except FileNotFoundError:
        raise UserError(f"{path} is not here: run 'dvc repro', or 'dvc pull' to fetch it") from None


def _in_lock(name: str) -> bool:
    return not name.endswith(".dvc")


def _is_code(path: str) -> bool:
    pure = PurePosixPath(path)
    return path in _CONFIGURATION or (pure.parts[0] in lineage.CODE and pure.suffix in {".py", ".yaml", ".j2"})


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path} is not here: run 'dvc repro', which writes it") from None


def _yaml(path: str, text: str) -> dict[str, Any]:
    try:
        content = YAML(typ="safe").load(text)
    except YAMLError:
        content = None
    if not isinstance(content, dict):
        raise UserError(f"{path} is damaged: restore it ('git checkout -- {path}'), then run 'dvc repro'")
    return content


def _listing(cache: Path, md5: str) -> list[dict[str, str]] | None:
    path = cache / md5[:2] / md5[2:]
    if not path.is_file():
        return None
    content: list[dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout
