from pathlib import Path
from typing import Literal

import pydantic
import pytest
from pydantic import Field

from stages import params
from stages.check.params import Params
from stages.finetune.params import Recipe
from stages.params import Section
from stages.runtime import UserError
from tests.conftest import ROOT


class Part(Section):
    size: int = Field(ge=2, le=8)
    rate: float = 0.5
    names: tuple[str, ...] = Field(default=(), strict=False)
    kind: Literal["soft", "hard"] = "soft"


def write(text: str | bytes) -> None:
    params.PATH.write_bytes(text if isinstance(text, bytes) else text.encode())


def refused(text: str | bytes, where: str = "part") -> str:
    """What the user is told of a file: one line that names it."""
    write(text)
    with pytest.raises(UserError) as raised:
        params.read(where, Part)
    said = str(raised.value)
    assert "\n" not in said
    assert said.startswith("params.yaml")
    return said


def test_a_section_is_read_with_its_defaults_and_cannot_be_changed(workspace: Path) -> None:
    write("other: {nonsense: true}\npart:\n  size: 3 # a comment\n  names: [a, b]\n")
    part = params.read("part", Part)
    assert part == Part(size=3, rate=0.5, names=("a", "b"), kind="soft")
    with pytest.raises(pydantic.ValidationError):
        part.size = 4  # type: ignore[misc]


def test_a_value_is_found_by_its_path(workspace: Path) -> None:
    write("outer:\n  inner: {size: 4}\nlist: [a]\n")
    assert params.read("outer.inner", Part).size == 4
    assert params.read("outer.inner.size", int) == 4
    assert params.read("list", list[str]) == ["a"]


@pytest.mark.parametrize("where", ["parts", "outer.part", "list.part", "outer.inner.size.part"])
def test_a_section_that_is_not_there_is_named_whole(workspace: Path, where: str) -> None:
    said = refused("outer: {inner: {size: 4}}\nlist: [part]\n", where)
    assert f"'{where}' is missing" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("part: {size: 3, sise: 4}", "part.sise: no such parameter"),
        ("part: {rate: 0.1}", "part.size: is missing"),
        ("part: {size: 9}", "less than or equal to 8 (found 9)"),
        ("part: {size: '3'}", "part.size: Input should be a valid integer (found '3')"),
        ("part: {size: 3.0}", "part.size: Input should be a valid integer (found 3.0)"),
        ("part: {size: true}", "part.size: Input should be a valid integer (found True)"),
        ("part: {size: 3, rate: yes}", "part.rate: Input should be a valid number (found 'yes')"),
        ("part: {size: 3, kind: medium}", "part.kind: Input should be 'soft' or 'hard' (found 'medium')"),
        ("part: {size: 3, names: [a, 2]}", "part.names.2: Input should be a valid string (found 2)"),
        ('part: {size: "3\\n4"}', "part.size"),
        ("part: [1]", "part: "),
    ],
)
def test_a_fault_is_named_with_its_place_and_what_was_found(workspace: Path, text: str, said: str) -> None:
    assert said in refused(text)


def test_every_fault_is_named_at_once(workspace: Path) -> None:
    said = refused("part: {sise: 3, rate: high, kind: medium}")
    for name in ("part.sise", "part.size", "part.rate", "part.kind"):
        assert name in said


@pytest.mark.parametrize(
    "content",
    [
        b"part: [1",
        b"part: {size: 3}\n part: 2",
        b"part: {size: 3}\npart: {size: 4}",
        b"\tpart: 1",
        b"part: *size",
        b"part: 2026-02-30",
        b"part: caf\xe9",
        b'part: "\0"',
        b"part: !!python/object/apply:os.system [true]",
    ],
)
def test_what_is_no_yaml_is_refused(workspace: Path, content: bytes) -> None:
    assert "is not valid YAML" in refused(content)


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"- part\n", b"part\n"])
def test_what_is_no_mapping_is_refused(workspace: Path, content: bytes) -> None:
    assert "must hold names and values" in refused(content)


def test_a_missing_file_says_where_to_run(workspace: Path) -> None:
    with pytest.raises(UserError, match="from the top of the repository"):
        params.read("part", Part)


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ({"strategy": "ful"}, "strategy' is one of 'linear_probe', 'full', 'scratch'"),
        ({"weights": "w"}, "'strategy' is missing"),
        ({"strategy": "full", "weights": "w", "epochs": 3}, "recipes.mine.lr: is missing"),
        ({"strategy": "linear_probe", "weights": "w", "c": [0.1, -1]}, "recipes.mine.c.2: "),
        (
            {"strategy": "full", "weights": "w", "epochs": 3, "lr": 0.1, "warmup_epochs": 4},
            "recipes.mine: warmup_epochs (4) must not be more than epochs (3)",
        ),
        (
            {"strategy": "full", "weights": "w", "epochs": 3, "lr": 0.1, "nesterov": True, "momentum": 0.0},
            "recipes.mine: nesterov needs",
        ),
    ],
)
def test_a_recipe_is_judged_by_its_strategy_and_named_as_in_the_file(recipe: dict, said: str) -> None:
    with pytest.raises(UserError) as raised:
        params.validate(recipe, Recipe, "params.yaml", "recipes.mine")
    assert said in str(raised.value)
    assert "recipes.mine.full" not in str(raised.value), "pydantic's tag is no name in the file"
    assert "recipes.mine.linear_probe" not in str(raised.value)


def test_the_shipped_file_is_sound() -> None:
    given = params.validate(params.load(ROOT / "params.yaml"), Params, "params.yaml")
    assert given.batches == ["site-a", "site-b"]
    assert given.model_dump()["split"]["fractions"] == {"train": 0.6, "val": 0.15, "test": 0.25}
