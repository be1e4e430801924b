"""The chain from DICOM to model, as DVC's lock files hold it: every link is a content hash.

Pure functions over parsed files: a lock that was stored somewhere (in MLflow, in a commit) is read exactly as the one
in the workspace. Paths in a lock are relative to its stage's working directory, which here is always the repository's
top (`wdir: ../..` in the suppliers).
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from graphlib import TopologicalSorter
from pathlib import PurePosixPath
from typing import Any

from stages.runtime import UserError

CODE = ("stages", "pipeline")
"""Where the project's own code lies."""

Listing = Callable[[str], Sequence[Mapping[str, str]] | None]
"""From a directory's md5 to what DVC lists in it, ``[{"md5": ..., "relpath": ...}]``; None where it is not here."""


@dataclass(frozen=True)
class File:
    """A file or directory at one moment: ``md5`` as DVC computes it, ending in ``.dir`` for a directory."""

    path: str
    md5: str
    size: int | None = None  # bytes
    files: int | None = None  # of a directory


@dataclass(frozen=True)
class Stage:
    """What one stage read and wrote when it last ran (for a ``.dvc`` file: only what it points at)."""

    name: str  # as DVC addresses it: "ingest@site-a", "stages/phantom/dvc.yaml:phantom", "data/raw/site-a.dvc"
    command: str
    code: tuple[File, ...]
    inputs: tuple[File, ...]
    outputs: tuple[File, ...]
    params: Mapping[str, Any]

    @property
    def label(self) -> str:
        """The name without the dvc.yaml that holds it."""
        return label(self.name)

    @property
    def code_sha256(self) -> str:
        """One hash over the code it ran: paths and contents."""
        return digest([asdict(file) for file in self.code])

    @property
    def params_sha256(self) -> str:
        """One hash over the parameters it read."""
        return digest(self.params)


class Join(StrEnum):
    """How a dependency meets the output that it was."""

    EXACT = "the same path and hash"
    ASSEMBLED = "a directory whose hash follows from the outputs in it"
    BY_PATH = "a directory that holds these outputs; its hash cannot be recomputed here"
    SOURCE = "made by no stage: in git, or brought by the user"
    BROKEN = "the outputs at that path do not give this hash"


@dataclass(frozen=True)
class Link:
    """One dependency of one stage, and the stages that made it."""

    stage: str
    path: str
    md5: str
    producers: tuple[str, ...]
    join: Join


@dataclass(frozen=True)
class Chain:
    """Stages in the order data flows, and how each dependency meets what made it."""

    stages: tuple[Stage, ...]
    links: tuple[Link, ...]

    @property
    def sha256(self) -> str:
        """The hash of everything that made the result: commands, code, data and parameters of every stage.

        The same on every machine, and before and after the lock is committed, so a commit's lock is recognised by it.
        Of params.yaml only the values that stages read count, not the file's own hash: it changes with a comment.
        """
        return digest([{**asdict(stage), "inputs": _without_params_file(stage)} for stage in self.stages])

    @property
    def broken(self) -> tuple[Link, ...]:
        """Links whose two ends do not agree: a stage ran on something else than what the lock holds now."""
        return tuple(link for link in self.links if link.join is Join.BROKEN)

    def maker(self, path: str) -> Stage:
        """The stage that has ``path`` as an output. Raises :class:`UserError` if none has."""
        for stage in self.stages:
            if any(out.path == path for out in stage.outputs):
                return stage
        raise UserError(f"dvc.lock does not say what made {path}: run 'dvc repro'")

    def upstream(self, *names: str) -> "Chain":
        """What the stages ``names`` rest on, themselves included."""
        wanted, todo = set(), list(names)
        while todo:
            current = todo.pop()
            if current not in wanted:
                wanted.add(current)
                todo += [producer for link in self.links if link.stage == current for producer in link.producers]
        return Chain(
            tuple(stage for stage in self.stages if stage.name in wanted),
            tuple(link for link in self.links if link.stage in wanted),
        )

    def to_json(self) -> dict[str, Any]:
        """As plain objects, with the hashes spelt out."""
        stages = [
            {**asdict(stage), "code_sha256": stage.code_sha256, "params_sha256": stage.params_sha256}
            for stage in self.stages
        ]
        links = [{**asdict(link), "join": link.join.name} for link in self.links]
        return {"sha256": self.sha256, "stages": stages, "links": links}


def stages_of_lock(content: Mapping[str, Any], dvc_yaml: str = "dvc.yaml") -> list[Stage]:
    """The stages of one parsed dvc.lock; ``dvc_yaml`` is the file beside it, from the repository's top."""
    prefix = "" if dvc_yaml == "dvc.yaml" else f"{dvc_yaml}:"
    return [_stage(f"{prefix}{name}", entry) for name, entry in (content.get("stages") or {}).items()]


def stage_of_pointer(path: str, content: Mapping[str, Any]) -> Stage:
    """A parsed ``.dvc`` file: data that a person put under DVC. ``path`` is its own, from the repository's top."""
    at = PurePosixPath(path).parent
    outputs = [{**out, "path": str(at / out["path"])} for out in content.get("outs") or []]
    return _stage(path, {"outs": outputs})


def chain(stages: Iterable[Stage], listing: Listing = lambda _: None) -> Chain:
    """Order ``stages`` as data flows and join every dependency to what made it.

    Parameters
    ----------
    stages
        Those that are part of the pipeline now: dvc.lock keeps entries of stages that are no longer in dvc.yaml.
    listing
        Lets directories be checked too: stages may depend on a whole directory that several others fill.
    """
    known = sorted(stages, key=lambda stage: stage.name)
    made = [(stage.name, out) for stage in known for out in stage.outputs]
    links = {stage.name: [_link(stage.name, file, made, listing) for file in stage.inputs] for stage in known}
    graph = {name: [producer for link in those for producer in link.producers] for name, those in links.items()}
    order = list(TopologicalSorter(graph).static_order())
    by_name = {stage.name: stage for stage in known}
    return Chain(tuple(by_name[name] for name in order), tuple(link for name in order for link in links[name]))


def label(name: str) -> str:
    """A stage's name without the dvc.yaml that holds it."""
    return name.rpartition(":")[2]


def directory_md5(entries: Iterable[Mapping[str, str]]) -> str:
    """The hash that DVC gives a directory holding ``entries`` (md5 and relpath of each file)."""
    listed = sorted(({"md5": e["md5"], "relpath": e["relpath"]} for e in entries), key=lambda entry: entry["relpath"])
    return hashlib.md5(json.dumps(listed, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"


def digest(content: object) -> str:
    """SHA-256 of ``content`` as canonical JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _stage(name: str, entry: Mapping[str, Any]) -> Stage:
    inputs = [_file(name, item) for item in entry.get("deps") or []]
    return Stage(
        name=name,
        command=str(entry.get("cmd", "")),
        code=tuple(file for file in inputs if _is_code(file.path)),
        inputs=tuple(file for file in inputs if not _is_code(file.path)),
        outputs=tuple(_file(name, item) for item in entry.get("outs") or []),
        params={
            key if file == "params.yaml" else f"{file}:{key}": value
            for file, values in (entry.get("params") or {}).items()
            for key, value in values.items()
        },
    )


def _file(stage: str, item: Mapping[str, Any]) -> File:
    if "md5" not in item:
        raise UserError(f"dvc.lock: {stage}: {item['path']} has no md5: run 'dvc repro' to record it")
    return File(item["path"], item["md5"], item.get("size"), item.get("nfiles"))


def _without_params_file(stage: Stage) -> list[dict[str, Any]]:
    return [asdict(file) for file in stage.inputs if file.path != "params.yaml"]


def _is_code(path: str) -> bool:
    pure = PurePosixPath(path)
    return pure.parts[0] in CODE and pure.suffix in {"", ".py"}


def _link(stage: str, dep: File, made: Sequence[tuple[str, File]], listing: Listing) -> Link:
    near = [(name, out) for name, out in made if _overlap(dep.path, out.path)]
    producers = tuple(name for name, _ in near)
    outs = [out for _, out in near]
    return Link(stage, dep.path, dep.md5, producers, _join(dep, outs, listing))


def _join(dep: File, outs: Sequence[File], listing: Listing) -> Join:
    if not outs:
        return Join.SOURCE
    if len(outs) == 1 and outs[0].path == dep.path:
        return Join.EXACT if outs[0].md5 == dep.md5 else Join.BROKEN
    entries = _entries(outs, listing)
    if entries is None:
        return Join.BY_PATH
    base = PurePosixPath(dep.path)
    inside = [{**e, "relpath": str(e["path"].relative_to(base))} for e in entries if e["path"].is_relative_to(base)]
    found = inside[0]["md5"] if [e["relpath"] for e in inside] == ["."] else directory_md5(inside)
    return Join.ASSEMBLED if found == dep.md5 else Join.BROKEN


def _entries(outs: Sequence[File], listing: Listing) -> list[dict[str, Any]] | None:
    """Every file of ``outs`` with its full path; None if a directory's listing is not here."""
    entries: list[dict[str, Any]] = []
    for out in outs:
        if not out.md5.endswith(".dir"):
            entries.append({"md5": out.md5, "path": PurePosixPath(out.path)})
        elif (files := listing(out.md5)) is not None:
            entries += [{"md5": file["md5"], "path": PurePosixPath(out.path) / file["relpath"]} for file in files]
        else:
            return None
    return entries


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")
