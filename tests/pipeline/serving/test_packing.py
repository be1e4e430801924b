"""A packed model holds all that it needs, and nothing that runs when it is read."""

import ast
import os
import shutil
import sys
from pathlib import Path

import grimp
import pytest
from mlflow.models import Model

from pipeline.serving import packing
from pipeline.serving.reading import Reader
from pipeline.serving.spec import Kind, Spec
from stages.runtime import UserError
from tests.conftest import ROOT
from tests.pipeline.serving.conftest import CHAIN, CLASSES, CONFORMAL, DOMAIN, INGEST, PREPROCESS, THRESHOLDS

SPEC = Spec(
    recipe="tiny",
    chain_sha256=CHAIN,
    model_sha256="a" * 64,
    ingest=INGEST,
    preprocess=PREPROCESS,
    domain=DOMAIN,
    thresholds=THRESHOLDS,
    conformal=CONFORMAL,
)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Model]:
    folder, about = tmp_path_factory.mktemp("packed"), Model()
    packing.pack(folder, about, SPEC, CLASSES)
    return folder, about


def test_the_code_is_what_the_import_graph_says_and_no_more(packed: tuple[Path, Model]) -> None:
    graph = grimp.build_graph("stages", "pipeline", cache_dir=None)
    modules = {module for name in packing.ENTRIES for module in (name, *graph.find_upstream_modules(name))}
    modules |= {".".join(module.split(".")[:n]) for module in modules for n in range(1, module.count(".") + 1)}
    code = packed[0] / "code"
    names = {
        ".".join(path.relative_to(code).with_suffix("").parts).removesuffix(".__init__") for path in code.rglob("*.py")
    }
    assert names == modules
    assert not [path for path in code.rglob("*") if path.is_file() and path.suffix != ".py"]
    for path in code.rglob("*.py"):
        assert path.read_bytes() == (ROOT / path.relative_to(code)).read_bytes()


def test_every_other_package_that_the_code_imports_is_pinned(packed: tuple[Path, Model]) -> None:
    found = set()
    for path in (packed[0] / "code").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    others = found - set(sys.stdlib_module_names) - {"stages", "pipeline"}
    assert others == set(packing.PACKAGES)
    pinned = (packed[0] / "requirements.txt").read_text().split()
    assert sorted(line.partition("==")[0] for line in pinned) == sorted(
        name for names in packing.PACKAGES.values() for name in names
    )


def test_nothing_is_pickled(packed: tuple[Path, Model]) -> None:
    folder, about = packed
    assert not [path for path in folder.rglob("*") if path.suffix in {".pkl", ".pickle", ".pt", ".pth", ".bin"}]
    flavour = about.flavors["python_function"]
    assert "python_model" not in flavour
    assert flavour["model_code_path"] == "serve.py"


def test_the_same_model_is_packed_to_the_same_bytes(packed: tuple[Path, Model], tmp_path: Path) -> None:
    packing.pack(tmp_path, Model(), SPEC, CLASSES)
    files = {path.relative_to(packed[0]) for path in packed[0].rglob("*") if path.is_file()}
    assert files == {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    for path in files:
        assert (packed[0] / path).read_bytes() == (tmp_path / path).read_bytes()


@pytest.mark.parametrize("kind", [*DOMAIN, Kind(modality="MG", body_part="OTHER", images=3)])
def test_the_example_is_of_a_kind_that_was_seen_and_names_nobody(kind: Kind, tmp_path: Path) -> None:
    content = packing.example(SPEC.model_copy(update={"domain": (kind,)}))
    (tmp_path / "example").write_bytes(content)
    read = Reader(INGEST, PREPROCESS, ((kind.modality, kind.body_part),))(os.fspath(tmp_path / "example"))
    assert isinstance(read, list)
    assert read[0].pixels.std() > 10
    assert b"\x10\x00\x10\x00" not in content  # (0010,0010) Patient's Name
    assert b"\x10\x00\x20\x00" not in content  # (0010,0020) Patient ID


def test_the_specification_is_read_as_it_was_written(tmp_path: Path) -> None:
    SPEC.write(tmp_path)
    assert Spec.read(tmp_path) == SPEC


def test_a_model_without_or_with_a_damaged_specification_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="registered by an older version"):
        Spec.read(tmp_path)
    (tmp_path / "serving.json").write_text('{"format": "radrepro-serving-9"}')
    with pytest.raises(UserError, match="damaged"):
        Spec.read(tmp_path)


def test_a_byte_changed_in_any_packed_file_changes_the_digest(packed: tuple[Path, Model], tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(packed[0], folder)
    known = packing.digest(folder)
    assert known == packing.digest(packed[0])
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        whole = path.read_bytes()
        path.write_bytes(whole + b" ")
        assert packing.digest(folder) != known, path
        path.write_bytes(whole)
    (folder / "code/stages/added.py").write_text("")
    assert packing.digest(folder) != known
