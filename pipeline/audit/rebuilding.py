"""Build a registered model anew from its commit, and compare each stage's bytes with those recorded.

It runs in a clone of its own, with every stage forced and nothing taken from DVC's run cache: only the batches and
tables that a person put under DVC are fetched, and what is in neither git nor DVC, such as the key, is linked.
"""

import json
import logging
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.config import merge
from dvc.repo import Repo

from pipeline import history, subprocesses
from pipeline import text as words
from pipeline.audit import contents, tree
from pipeline.audit.contents import Contents, Place
from pipeline.audit.record import Record, recipe_of
from pipeline.lineage import Chain, File, Join, Stage
from pipeline.text import nameless
from pipeline.tracking import results
from stages.artifacts import evaluation
from stages.runtime import STATE, UserError, guarded

_LINKS = "reflink,hardlink,symlink,copy"  # a copy of terabytes is the last resort

log = logging.getLogger("radrepro")


@dataclass(frozen=True)
class Compared:
    """One stage: the outputs that are not as recorded, with their hashes then and now."""

    stage: str
    outputs: int
    differing: Mapping[str, tuple[str, str]]


@dataclass(frozen=True)
class Outcome:
    """A rebuilt model against the recorded one."""

    model: str
    commit: str
    folder: str
    """Of the rebuilt copy; "" if it was removed."""
    stages: tuple[Compared, ...]
    metrics: Mapping[str, tuple[float, float]]
    """Those that differ: recorded, rebuilt."""

    @property
    def identical(self) -> bool:
        """Whether every stage gave the recorded bytes."""
        return not any(stage.differing for stage in self.stages)

    def to_json(self) -> dict[str, Any]:
        """As plain objects."""
        first = next((stage.stage for stage in self.stages if stage.differing), None)
        stages = [
            {
                "stage": stage.stage,
                "outputs": stage.outputs,
                "identical": not stage.differing,
                "differing": {path: {"recorded": a, "rebuilt": b} for path, (a, b) in stage.differing.items()},
            }
            for stage in self.stages
        ]
        metrics = {name: {"recorded": a, "rebuilt": b} for name, (a, b) in self.metrics.items()}
        about = {"model": self.model, "commit": self.commit, "folder": self.folder, "identical": self.identical}
        return {**about, "first_difference": first, "stages": stages, "metrics": metrics}


def rebuild(record: Record, *, keep: bool = False) -> Outcome:
    """Do it.

    Raises
    ------
    UserError
        If the commit, the patch upon it, a batch or the key is not here, or a stage fails.
    """
    own = record.own(tree.chain(record))
    if not history.has(record.commit):
        where = f"commit {record.commit} is not in this clone: git fetch it" if record.commit else "it ran outside git"
        raise UserError(f"{record.label} cannot be rebuilt: {where}")
    folder = (STATE / "rebuild" / f"{record.name}-{record.version}".replace("/", "_")).resolve()
    with guarded("rebuild"):
        shutil.rmtree(folder, ignore_errors=True)
        try:
            _check_out(record, folder)
            _bring(record, own, folder)
            _run(own, folder)
            return _compare(record, own, folder if keep else None, folder)
        finally:
            if not keep:
                shutil.rmtree(folder, ignore_errors=True)


def text(outcome: Outcome) -> str:
    """For people: a line per stage, then what differs."""
    rows = [
        [one.stage, str(one.outputs), "identical" if not one.differing else f"{len(one.differing)} differ"]
        for one in outcome.stages
    ]
    lines = [words.table(["stage", "outputs", "bytes"], rows), ""]
    if outcome.identical:
        lines.append(f"{outcome.model} was rebuilt from commit {outcome.commit[:12]} to the same bytes")
    else:
        first = next(one for one in outcome.stages if one.differing)
        for path, (a, b) in first.differing.items():
            lines.append(f"{first.stage} is the first that differs: {path} was {a}, is {b}")
        differing = [[name, f"{a:.6g}", f"{b:.6g}", f"{b - a:+.2g}"] for name, (a, b) in outcome.metrics.items()]
        lines.append(
            words.table(["metric", "recorded", "rebuilt", "difference"], differing)
            if differing
            else "every metric is the same"
        )
    return "\n".join([*lines, f"kept in {outcome.folder}"] if outcome.folder else lines)


def _check_out(record: Record, folder: Path) -> None:
    """A clone that shares git's objects: nothing of the workspace, nor of git's own state here, is touched."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    _git("clone", "--quiet", "--shared", "--no-checkout", str(Path.cwd()), str(folder))
    _git("-C", str(folder), "checkout", "--quiet", "--detach", record.commit)
    if record.patch:
        _git("-C", str(folder), "apply", "--whitespace=nowarn", "-", given=record.patch)
    for path, content in record.locks().items():
        if path.endswith(".dvc"):  # they may have been committed later
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(content, encoding="utf-8")
    with Repo() as here:  # remotes as they are now, for the commit's may be out of date
        cache, known = here.cache.local_cache_dir, [here.config.read(level) for level in ("repo", "local")]
    with Repo(str(folder)) as there, there.config.edit("local") as config:
        for level in known:
            merge(config, level)
        config["cache"] = {"type": _LINKS, **config.get("cache", {}), "dir": cache}


def _bring(record: Record, own: Chain, folder: Path) -> None:
    """Fetch what a person put under DVC, and link what is in neither git nor DVC."""
    pointers = [stage.name for stage in own.stages if stage.name.endswith(".dvc")]
    if pointers:
        has_remote = contents.on_remote([])[0]
        _dvc(folder, *(("pull", "--quiet", *pointers) if has_remote else ("checkout", "--quiet", *pointers)))
    store = Contents(contents.claims(record.locks()))
    for link in own.links:
        target = folder / link.path
        if link.join is not Join.SOURCE or target.exists():
            continue
        if store.find(File(link.path, link.md5)).place is not Place.WORKSPACE:
            raise UserError(f"{link.path} is in neither git nor DVC, and not here as it was: put it back first")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(Path(link.path).resolve())


def _run(own: Chain, folder: Path) -> None:
    _dvc(folder, "repro", "--force", "--no-run-cache", own.stages[-1].name, live=True)


def _compare(record: Record, own: Chain, kept: Path | None, folder: Path) -> Outcome:
    made: dict[str, Stage] = {}
    for path in {history.lock_of(stage.name) for stage in own.stages}:
        if (folder / path).is_file():
            made |= {stage.name: stage for stage in history.stages_in(path, (folder / path).read_text("utf-8"))}
    compared = []
    for stage in own.stages:
        now = {out.path: out.md5 for out in made[stage.name].outputs} if stage.name in made else {}
        differing = {
            out.path: (out.md5, now.get(out.path, "none")) for out in stage.outputs if now.get(out.path) != out.md5
        }
        compared.append(Compared(stage.label, len(stage.outputs), differing))
    judged = evaluation.path(recipe_of(own))
    then = json.loads((record.recipe.text(judged.name) if record.recipe else "") or "{}")
    rebuilt = json.loads((folder / judged).read_text(encoding="utf-8"))
    old, new = dict(results.numbers(then)), dict(results.numbers(rebuilt))
    metrics = {name: (old[name], new[name]) for name in old if name in new and old[name] != new[name]}
    return Outcome(record.label, record.commit, str(kept or ""), tuple(compared), metrics)


def _dvc(folder: Path, *arguments: str, live: bool = False) -> None:
    """Run `dvc` in the copy; with ``live``, pass on what it says."""
    found = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))  # the copy's code comes first
    env = {"PYTHONPATH": found, "RADREPRO_LIVE": "false"}
    process = subprocesses.start(subprocesses.dvc(*arguments), env, folder=folder)
    said: list[str] = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(nameless(line.rstrip()))
            if live:
                log.info("%s", said[-1])
        status = process.wait()
    except BaseException:
        subprocesses.end(process)
        raise
    if status != 0:
        faults = [line for line in said if "rror" in line] or said[-3:]
        raise UserError(f"dvc {arguments[0]} fails in the copy ({' '.join(faults)[:300]}): see what it said above")


def _git(*arguments: str, given: str = "") -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_DIR")}
    done = subprocess.run(["git", *arguments], env=inherited, input=given, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = nameless(" ".join(done.stderr.split()))
        raise UserError(f"git fails in the copy ({said[:300]}): see whether the commit and its patch are whole")
