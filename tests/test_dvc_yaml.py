"""Every stage of every dvc.yaml depends on exactly the code it imports: edit a trainer, and DVC retrains."""

import contextlib
import functools
import shlex
import shutil
import tempfile
from pathlib import Path, PurePosixPath

import grimp
import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

from pipeline.serving import packing

ROOT = Path(__file__).resolve().parents[1]
CODE = ("stages", "pipeline")
DATA = {  # what code reads from beside itself
    "pipeline/tracking/picture/page.py": "pipeline/tracking/picture/page.html.j2",
    "stages/reports/page.py": "stages/reports/page.html.j2",
    "stages/weights/sources.py": "stages/weights/starter.safetensors",
}
PACKS = {"pipeline/serving/packing.py": packing.ENTRIES}
"""Code that copies other code, with all that it imports."""


ENTRIES = {
    "self_supervised": {"an-entry": {"method": "simclr", "weights": "starter", "epochs": 1, "lr": 0.1}},
    "cross_validation": {"recipes": ["scratch"]},
}
"""For groups that are empty as shipped."""


@functools.cache
def _stages():
    """By name, with their dependencies as paths from the repository's top; of every group there is a stage."""
    with tempfile.TemporaryDirectory() as name:
        Repo.init(name, no_scm=True).close()
        for path in (".dvcignore", "params.yaml", "dvc.yaml", *_suppliers()):
            (Path(name) / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, Path(name) / path)
        yaml = YAML()
        params = yaml.load(Path(name) / "params.yaml")
        for section, entries in ENTRIES.items():
            params[section] = {**params[section], **entries}
        yaml.dump(params, Path(name) / "params.yaml")
        with contextlib.chdir(name), Repo() as repo:
            stages = [stage for stage in repo.index.stages if hasattr(stage, "name")]
            return {stage.addressing: (stage.cmd, _paths(stage, Path(repo.root_dir))) for stage in stages}


def _suppliers():
    return [path.relative_to(ROOT) for path in ROOT.glob("stages/*/dvc.yaml")]


def _paths(stage, top: Path) -> list[PurePosixPath]:
    local = [Path(dep.fs_path) for dep in stage.deps if dep.protocol == "local"]
    return [PurePosixPath(path.relative_to(top).as_posix()) for path in local]


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
    for packs, packed in PACKS.items():
        if packs.removesuffix(".py").replace("/", ".") in modules:
            modules |= {module for name in packed for module in (name, *graph.find_upstream_modules(name))}
    parents = {".".join(m.split(".")[:n]) for m in modules for n in range(1, m.count(".") + 1)}
    while new := {up for p in parents for up in graph.find_upstream_modules(p)} - modules:
        modules |= new
        parents = {".".join(m.split(".")[:n]) for m in modules for n in range(1, m.count(".") + 1)}
    return {_file(module) for module in modules | parents}


@pytest.mark.parametrize("group", sorted(_groups()))
def test_a_stage_depends_on_the_code_it_imports_and_on_no_other(group: str, graph: grimp.ImportGraph) -> None:
    command, paths = _stages()[_groups()[group]]
    words = shlex.split(command)
    package = words[words.index("-m") + 1]
    imported = _imported(graph, f"{package}.__main__" if (ROOT / package.replace(".", "/")).is_dir() else package)
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
    for name, (_, paths) in _stages().items():
        for path in paths:
            assert not any(lock.is_relative_to(path) for lock in locks), name


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
