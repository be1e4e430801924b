"""A copy of the repository in which trials run, so that no trial, and no kill of one, touches the workspace.

It is a clone that shares git's objects and DVC's cache with the original: code and settings as they were when the sweep
began, changes that are not committed included, and the data as links into the cache, made once for all trials.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo

from pipeline import edit
from pipeline.text import nameless
from stages.runtime import UserError

_BRANCH = "refs/heads/sweep"
_OF_ANOTHER = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"}  # set where git itself starts us, in a hook
_LINKS = "reflink,hardlink,symlink,copy"  # a copy of terabytes is the last resort


class Clone:
    """The repository as it is now, elsewhere. Raises :class:`UserError` if nothing is committed yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._top = Path.cwd()
        head = _git(self._top, "rev-parse", "--verify", "--quiet", "HEAD", check=False)
        if not head:
            raise UserError("trials are experiments upon a commit, and there is none yet: git add and commit first")
        self.commit = head
        """The commit that the trials' experiments start from."""
        self._person = {
            f"user.{what}": _git(self._top, "config", f"user.{what}", check=False) or f"radrepro{at}"
            for what, at in (("name", ""), ("email", "@localhost"))
        }
        person = [argument for key, value in self._person.items() for argument in ("-c", f"{key}={value}")]
        self._state = _git(self._top, *person, "stash", "create") or head  # writes objects, and changes nothing else
        self._objects = _git(self._top, "rev-parse", "--path-format=absolute", "--git-path", "objects")
        try:
            with Repo() as repo:
                self._cache = repo.cache.local_cache_dir
                self._local: dict[str, Any] = repo.config.read("local")
                outs = {Path(out.fs_path) for stage in repo.index.stages for out in stage.outs if out.is_in_repo}
                deps = {Path(dep.fs_path) for stage in repo.index.stages for dep in stage.deps if dep.is_in_repo}
                cached = {Path(out.fs_path) for out in repo.index.outs if out.is_in_repo and out.use_cache}
        except DvcException as error:
            said = nameless(" ".join(str(error).split()))
            raise UserError(f"DVC cannot read this repository ({said}): mend that first") from None
        self._outs, self._cached = self._names(outs), self._names(cached)
        self._loose = self._neither_in_git_nor_dvc(deps, outs)

    def renew(self, values: Mapping[edit.Path, Any]) -> None:
        """Make it anew, with these values in params.yaml. Whatever the last trial left but data goes."""
        shutil.rmtree(self.folder / ".git", ignore_errors=True)
        shutil.rmtree(self.folder / ".dvc" / "tmp", ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        _git(self.folder, "init", "--quiet")
        for key, value in self._person.items():
            _git(self.folder, "config", key, value)
        (self.folder / ".git/objects/info/alternates").write_text(f"{self._objects}\n", encoding="utf-8")
        # Where a project's .gitignore does not name them, DVC would commit images with the experiment.
        ignored = "".join(f"/{path}\n" for path in [".radrepro/", *self._cached, *self._loose])
        (self.folder / ".git/info").mkdir(exist_ok=True)
        (self.folder / ".git/info/exclude").write_text(ignored, encoding="utf-8")
        _git(self.folder, "update-ref", _BRANCH, self.commit)
        _git(self.folder, "symbolic-ref", "HEAD", _BRANCH)
        _git(self.folder, "read-tree", "--reset", "-u", self._state)
        kept = [".radrepro/", *self._outs, *self._loose]
        excepted = [f"--exclude=/{path}" for path in kept]
        _git(self.folder, "clean", "-d", "-x", "--force", "--quiet", "--exclude=__pycache__/", *excepted)
        for path in self._loose:
            link = self.folder / path
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(self._top / path)
        self._configure()
        edit.edit(values, self.folder / "params.yaml")
        _git(self.folder, "add", "params.yaml")

    def hand_over(self, experiment: str) -> None:
        """Give the original repository an experiment that was made here."""
        ref = f"refs/exps/{self.commit[:2]}/{self.commit[2:]}/{experiment}"
        _git(self._top, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", str(self.folder), f"+{ref}:{ref}")

    def _configure(self) -> None:
        (self.folder / ".dvc/config.local").unlink(missing_ok=True)
        with Repo(str(self.folder)) as repo, repo.config.edit("local") as local:
            local.update(self._local)
            kept = dict(self._local.get("cache", {}))
            local["cache"] = {"type": _LINKS, **kept, "dir": self._cache}

    def _neither_in_git_nor_dvc(self, deps: set[Path], outs: set[Path]) -> list[str]:
        """What stages read that is on this machine only, such as the key: it is linked."""
        known = self._listed() | outs
        loose = {
            dep
            for dep in deps
            if dep.exists() and not any(path == dep or dep in path.parents or path in dep.parents for path in known)
        }
        for new in self._listed("--others", "--exclude-standard"):
            if new.suffix == ".dvc" or new.name == "dvc.yaml" or any(dep in new.parents for dep in deps - loose):
                raise UserError(f"{new.relative_to(self._top)} is not in git: git add it, or trials would lack it")
        return self._names(loose)

    def _listed(self, *which: str) -> set[Path]:
        return {self._top / name for name in _git(self._top, "ls-files", "-z", *which).split("\0") if name}

    def _names(self, paths: set[Path]) -> list[str]:
        return sorted(path.relative_to(self._top).as_posix() for path in paths)


def _git(folder: Path, *arguments: str, check: bool = True) -> str:
    inherited = {name: value for name, value in os.environ.items() if name not in _OF_ANOTHER}
    done = subprocess.run(["git", *arguments], cwd=folder, env=inherited, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        said = nameless(" ".join(done.stderr.split()))
        raise UserError(f"git {arguments[0]} fails in {folder} ({said}): mend that, then run the same command again")
    return done.stdout.strip()
