"""Every stage of every dvc.yaml depends on exactly the code it imports: edit a trainer, and DVC retrains."""

import functools
import shlex
from pathlib import Path, PurePosixPath

import grimp
import pytest
from dvc.repo import Repo

ROOT = Path(__file__).resolve().parents[1]
CODE = ("stages", "pipeline")
DATA = {  # what code reads from beside itself
    "stages/reports/page.py": "stages/reports/page.html.j2",
    "stages/weights/sources.py": "stages/weights/starter.safetensors",
}


@functools.cache
def _stages():
    return {stage.addressing: stage for stage in Repo(str(ROOT)).index.stages if hasattr(stage, "name")}


def _groups():
    """One stage of each group: ingest@a and ingest@b depend on the same code."""
    return {name.split("@")[0]: name for name in _stages()}


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph(*CODE, cache_dir=None, include_external_packages=False)


def _file(module: str) -> PurePosixPath:
    path = PurePosixPath(*module.split("."))
    return path / "__init__.py" if (ROOT / path).is_dir() else path.with_suffix(".py")


def _imported(graph: grimp.ImportGraph, entry: str) -> set[PurePosixPath]:
    """The files that running ``python -m entry`` loads: what it imports, and the packages on the way to each."""
    modules = {entry, *graph.find_upstream_modules(entry)}
    parents = {".".join(m.split(".")[:n]) for m in modules for n in range(1, m.count(".") + 1)}
    while new := {up for p in parents for up in graph.find_upstream_modules(p)} - modules:
        modules |= new
        parents = {".".join(m.split(".")[:n]) for m in modules for n in range(1, m.count(".") + 1)}
    return {_file(module) for module in modules | parents}


@pytest.mark.parametrize("group", sorted(_groups()))
def test_a_stage_depends_on_the_code_it_imports_and_on_no_other(group: str, graph: grimp.ImportGraph) -> None:
    stage = _stages()[_groups()[group]]
    words = shlex.split(stage.cmd)
    package = words[words.index("-m") + 1]
    imported = _imported(graph, f"{package}.__main__" if (ROOT / package.replace(".", "/")).is_dir() else package)
    paths = [
        PurePosixPath(Path(dep.fs_path).relative_to(ROOT).as_posix()) for dep in stage.deps if dep.protocol == "local"
    ]
    declared = {path for path in paths if path.parts[0] in CODE and path.suffix not in {".key", ".safetensors"}}

    read = {PurePosixPath(DATA[str(file)]) for file in imported if str(file) in DATA}
    unread = {str(file) for file in read if not any(file.is_relative_to(path) for path in paths)}
    assert not unread, f"{group} reads what it does not depend on"
    missing = {str(file) for file in imported if not any(file.is_relative_to(path) for path in declared)}
    unused = {str(path) for path in declared if not any(file.is_relative_to(path) for file in imported)}
    assert not missing, f"{group} imports code it does not depend on"
    assert not unused, f"{group} depends on code it does not import"


def test_no_stage_depends_on_a_lock() -> None:
    """It would be stale as soon as it has run."""
    locks = [path.relative_to(ROOT) for path in ROOT.glob("stages/*/dvc.yaml")]
    for name, stage in _stages().items():
        for dep in stage.deps:
            path = Path(dep.fs_path).relative_to(ROOT) if dep.protocol == "local" else None
            assert path is None or not any(lock.is_relative_to(path) for lock in locks), name


def test_the_committed_locks_are_of_this_code_and_these_parameters() -> None:
    """After a change of either: run 'dvc repro', and commit the locks and metrics with it."""
    locked = [lock for lock in (ROOT / "dvc.lock", *ROOT.glob("stages/*/dvc.lock")) if lock.is_file()]
    assert len(locked) == 3
    stale = set()
    with Repo(str(ROOT)) as repo:
        for name, changes in repo.status().items():
            changed = {path for kind in changes if isinstance(kind, dict) for path in kind.get("changed deps", {})}
            stale |= {f"{name}: {path}" for path in changed if path == "params.yaml" or path.startswith(CODE)}
    assert not stale
