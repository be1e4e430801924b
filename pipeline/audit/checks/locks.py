"""The lock files, the chain that they give, and the commit that sealed it."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from pipeline import history
from pipeline.audit import contents
from pipeline.audit.checks.code import value_at
from pipeline.audit.links import Link, State, link
from pipeline.audit.record import Record
from pipeline.lineage import Chain, Join, Stage
from pipeline.tracking import describe, names
from stages import params
from stages.runtime import UserError


def hashes(record: Record, chains: Mapping[str, Chain], whole: Chain, own: Chain) -> Iterator[Link]:
    """The lock files' own hashes, the chain's, and every file's tag: in MLflow, and as recomputed from the locks."""
    for path, text in record.locks().items():
        key = f"chain.sha256.{path}"
        if path.endswith(".dvc"):
            continue  # the chain's hash is over what it says
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        for whose, tags in (("version", record.tags), ("run", record.run.tags)):
            said = tags.get(names.clean(key))
            yield link("lock", f"{path}, {whose}'s tag", said == sha256, f"the tag says {said}, the file is {sha256}")
    for name, found in chains.items():
        said = record.run.tags.get("chain.sha256")
        yield link("lock", f"chain of {name}", found.sha256 == said, f"it is {found.sha256}, the run's tag {said}")
    said = record.tags.get("chain.sha256")
    yield link("lock", "the version's chain", own.sha256 == said, f"it is {own.sha256}, the tag {said}", own.sha256)
    for whose, tags, of in (("version", record.tags, own), ("run", record.run.tags, whole)):
        expected = {names.clean(key): value for key, value in describe.file_tags(of).items()}
        given = {key: value for key, value in tags.items() if key.startswith(("dvc.out.", "dvc.dep."))}
        wrong = sorted(key for key in {*expected, *given} if expected.get(key) != given.get(key))
        for key in wrong:
            said = f"{given.get(key, 'no tag')}; the chain {expected.get(key, 'has no such file')}"
            yield Link("lock", f"{whose}'s tag {key}", State.BROKEN, said)
        if not wrong:
            yield Link("lock", f"{whose}'s tags dvc.*", State.OK, f"{len(expected)} files")


def sealed(record: Record, own: Chain, sealed: str) -> Link:
    """The commit that holds the chain; and that dvc.lock here still does, where HEAD does."""
    if not sealed:
        last = f"commit it ('git add {' '.join(record.locks())} && git commit')"
        return Link("git", "sealed by a commit", State.ABSENT, f"no commit here holds this chain: {last}, or git fetch")
    now: dict[str, Stage] = {}
    for path in {history.lock_of(stage.name) for stage in own.stages}:
        if Path(path).is_file():
            try:
                text = Path(path).read_text(encoding="utf-8", errors="replace")
                now |= {stage.name: stage for stage in history.stages_in(path, text)}
            except UserError as error:
                return Link("git", path, State.BROKEN, f"{error}: git checkout -- {path}")
    changed = [stage.name for stage in own.stages if stage.name not in now or now[stage.name].sha256 != stage.sha256]
    edited = [name for name in changed if name not in now or not _of_a_run(now[name], own.stage(name))]
    if edited and history.sealed_by(own.stages, own.stages[-1].outputs[0].md5, only="HEAD"):
        path = history.lock_of(edited[0])
        return Link(
            "git", path, State.BROKEN, f"changed here since HEAD ({edited[0]}), and not by a run: git diff -- {path}"
        )
    return Link("git", "sealed by a commit", State.OK, f"{sealed[:12]} of {history.date(sealed)}")


def _of_a_run(now: Stage, then: Stage) -> bool:
    """Whether the lock here says of a stage what is so here: then a run wrote it, and nobody's hand."""
    given = params.load()
    of_here = all(":" in key or value_at(given, key) == value for key, value in now.params.items())
    graph = Path(_graph_of(now.name))
    commanded = now.command == then.command or history.file("HEAD", str(graph)) != graph.read_bytes()
    return of_here and commanded and contents.is_as_locked(now)


def _graph_of(stage: str) -> str:
    """The dvc.yaml that defines a stage; of a ``.dvc`` file itself."""
    return str(PurePosixPath(history.lock_of(stage)).with_suffix(".dvc" if stage.endswith(".dvc") else ".yaml"))


def joins(own: Chain) -> Iterator[Link]:
    """Each dependency is what another stage wrote."""
    counts = {join: sum(one.join is join for one in own.links) for join in Join}
    for one in own.links:
        if one.join is Join.BROKEN:
            yield Link("chain", f"{one.stage} reads {one.path}", State.BROKEN, one.join.value)
        elif one.join is Join.BY_PATH:
            yield Link(
                "chain", f"{one.stage} reads {one.path}", State.ABSENT, f"{one.join.value}: 'dvc fetch' the outputs"
            )
    held = counts[Join.EXACT] + counts[Join.ASSEMBLED]
    yield Link("chain", f"{held} dependencies", State.OK, "each is what another stage wrote")
