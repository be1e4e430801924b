"""params.yaml as frozen, strict, validated objects. The only reader of that file.

Each room declares its own section (``stages/<room>/params.py``), so that a new option of one stage does not make DVC
rebuild the others; :mod:`stages.check` reads the file whole, before any work starts.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.runtime import UserError

PATH = Path("params.yaml")

T = TypeVar("T")


class Section(BaseModel):
    """A part of params.yaml: immutable, no implicit conversion, and a misspelt name is an error."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", validate_default=True)


def load(path: Path = PATH) -> dict[str, Any]:
    """The file as plain objects.

    Raises
    ------
    UserError
        If the file is missing or is not a YAML mapping.
    """
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is not here: run this from the top of the repository") from None
    except (YAMLError, ValueError) as error:  # ValueError: no UTF-8, or no day such as 2026-02-30
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold names and values, such as 'seed: 1'")
    return content


def read(where: str, kind: type[T], path: Path = PATH) -> T:
    """One section, such as ``read("split", SplitParams)`` or ``read("recipes.scratch", Recipe)``.

    Raises
    ------
    UserError
        If the section is absent, or anything in it is misspelt, of the wrong type or out of range.
    """
    content: Any = load(path)
    for name in where.split("."):
        if not isinstance(content, dict) or name not in content:
            raise UserError(f"{path}: '{where}' is missing: add it, or correct its name")
        content = content[name]
    return validate(content, kind, str(path), where)


def validate(content: object, kind: type[T], file: str, where: str = "") -> T:
    """``content`` as ``kind``, or a :class:`UserError` of one line that names every fault.

    ``where`` in ``file`` the content stands, for the message: nothing, or a section's name.
    """
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        faults = "; ".join(_fault(item, where, content) for item in error.errors(include_url=False))
        raise UserError(f"{file}: {faults}") from None


def _fault(item: Any, where: str, content: Any) -> str:
    at = ".".join(filter(None, [where, *_path(item["loc"], content), *_absent(item)])) or "it"
    if item["type"] == "extra_forbidden":
        return f"{at}: no such parameter: correct its name or remove it"
    if item["type"] == "missing":
        return f"{at}: is missing: add it"
    if item["type"] == "union_tag_not_found":
        return f"{at}: {item['ctx']['discriminator']} is missing: add it"
    if item["type"] == "union_tag_invalid":
        kind, tag, known = (item["ctx"][name] for name in ("discriminator", "tag", "expected_tags"))
        return f"{at}: {kind} is one of {known} (found '{tag}')"
    if item["type"] == "value_error" and not isinstance(item["input"], str | int | float):
        return f"{at}: {item['ctx']['error']}" if at != "it" else str(item["ctx"]["error"])
    said = item["msg"].removeprefix("Value error, ")
    return f"{at}: {said} (found {item['input']!r})" if not isinstance(item["input"], dict) else f"{at}: {said}"


def _path(location: tuple[str | int, ...], content: Any) -> Iterator[str]:
    """Names as the file has them: pydantic adds the tag of a union, which is no name in the file."""
    for part in location:
        if isinstance(content, dict) and part in content:
            yield str(part)
            content = content[part]
        elif isinstance(content, list) and isinstance(part, int):
            yield str(part + 1)  # as a person counts
            content = content[part]


def _absent(item: Any) -> list[str]:
    return [str(item["loc"][-1])] if item["type"] == "missing" else []
