"""Where a sweep looks: settings of params.yaml, each with its range or its choices."""

import copy
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.edit import Path
from stages import params
from stages.check.params import Params
from stages.runtime import UserError

KINDS = "uniform:LOW,HIGH, loguniform:LOW,HIGH, int:LOW,HIGH, logint:LOW,HIGH or choice:A,B,..."
SHARED = ("features", "preprocess", "self_supervised", "weights")
"""What a sweep may change besides its recipe: with another seed or split, val would be another in every trial."""

_DIGITS = 4

Value = bool | int | float | str | None


@dataclass(frozen=True)
class Dimension:
    """One setting and the values to try."""

    path: Path
    distribution: BaseDistribution
    text: str
    """As the user wrote it."""

    @property
    def name(self) -> str:
        """The path as params.yaml's readers write it: ``recipes.fine_tune.lr``."""
        return ".".join(self.path)

    def ends(self) -> list[Value]:
        """The values that are furthest apart; of choices, all."""
        match self.distribution:
            case FloatDistribution(low=low, high=high) | IntDistribution(low=low, high=high):
                return [low, high]
            case CategoricalDistribution(choices=choices):
                return list(choices)
        raise TypeError(self.distribution)

    def tidy(self, value: Any) -> Value:
        """A sampled value as it is tried: of a float, the four digits that somebody would write."""
        if isinstance(self.distribution, FloatDistribution):
            return min(max(float(f"{value:.{_DIGITS}g}"), self.distribution.low), self.distribution.high)
        given: Value = value
        return given


def read(texts: Sequence[str], recipe: str) -> list[Dimension]:
    """What the user wrote, such as ``lr=loguniform:1e-4,1e-1``, checked against params.yaml before anything runs.

    A path is the recipe's own (``lr``, ``recipes.<recipe>.lr``) or that of something before it (``preprocess.size``).

    Raises
    ------
    UserError
        If it cannot be read, names no parameter, or if params.yaml would refuse an end of a range or a choice.
    """
    given = params.load()
    sound = params.validate(given, Params, str(params.PATH))
    if recipe not in sound.recipes:
        raise UserError(f"params.yaml has no recipe '{recipe}': it has {', '.join(sound.recipes)}")
    own = type(sound.recipes[recipe]).model_fields
    space = [_dimension(text, recipe, own) for text in texts]
    if not space:
        raise UserError("say where to look, for example --set lr=loguniform:1e-4,1e-1")
    for name in (names := [dimension.name for dimension in space]):
        if names.count(name) > 1:
            raise UserError(f"--set {name}: it is there twice: say once where to look")
    for dimension in space:
        for value in dimension.ends():
            changed = with_values(given, {dimension.path: value}, dimension.text)
            params.validate(changed, Params, f"--set {dimension.text}")
    return space


def shown(value: object) -> str:
    """A value as params.yaml has it."""
    return value if isinstance(value, str) else json.dumps(value)


def with_values(given: Mapping[str, Any], values: Mapping[Path, Any], what: str) -> dict[str, Any]:
    """params.yaml's content with other values. Raises :class:`UserError` if a path leads through a value."""
    content: dict[str, Any] = copy.deepcopy(dict(given))
    for path, value in values.items():
        into = content
        for name in path[:-1]:
            into = into.setdefault(name, {})
            if not isinstance(into, dict):
                raise UserError(f"--set {what}: '{name}' holds a value, not parameters: correct the name")
        into[path[-1]] = value
    return content


def settings(given: Mapping[str, Any], recipe: str, space: Sequence[Dimension]) -> dict[str, Any]:
    """What the trials of one sweep have in common: everything that decides a model, but for what is searched."""
    later = {"recipes", "cross_validation", "evaluate", "shortcuts", "card", "track"}
    content = {name: section for name, section in given.items() if name not in later}
    content = copy.deepcopy(content | {"recipe": given["recipes"][recipe]})
    for dimension in space:
        into = content
        path = ("recipe", *dimension.path[2:]) if dimension.path[0] == "recipes" else dimension.path
        for name in path[:-1]:
            into = into.get(name, {})
        into.pop(path[-1], None)
    return content


def _dimension(text: str, recipe: str, own: Mapping[str, Any]) -> Dimension:
    name, equals, wanted = text.partition("=")
    kind, colon, values = wanted.partition(":")
    if not (name and equals and colon):
        raise UserError(f"--set {text}: write a parameter, '=' and where to look: {KINDS}")
    name = name.removeprefix(f"recipes.{recipe}.")
    path = tuple(name.split("."))
    shared = path[0] in SHARED and len(path) > 1  # a recipe has 'weights' too, but nothing in it
    if path[0] in own and not shared:
        return Dimension(("recipes", recipe, *path), _distribution(kind, values, text), text)
    if not shared:
        raise UserError(
            f"--set {text}: '{name}' is no parameter of '{recipe}' ({', '.join(own)}), and of the others a sweep may "
            f"change {', '.join(SHARED)} only: with another split or seed no two trials could be compared"
        )
    return Dimension(path, _distribution(kind, values, text), text)


def _distribution(kind: str, values: str, text: str) -> BaseDistribution:
    if kind == "choice":
        return CategoricalDistribution(_choices(values, text))
    if kind not in {"uniform", "loguniform", "int", "logint"}:
        raise UserError(f"--set {text}: '{kind}' is unknown: write {KINDS}")
    log = kind.startswith("log")
    number = int if kind.endswith("int") else float
    try:
        low, high = (number(value) for value in values.split(","))
    except ValueError:
        raise UserError(f"--set {text}: write two {'whole ' * (number is int)}numbers, {kind}:LOW,HIGH") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UserError(f"--set {text}: the lower end must be below the upper one")
    if log and low <= 0:
        raise UserError(f"--set {text}: a logarithm needs ends above 0: raise the lower one, or search '{kind[3:]}'")
    if number is int:
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(low, high, log=log)


def _choices(values: str, text: str) -> list[Value]:
    try:
        found = YAML(typ="safe", pure=True).load(f"[{values}]")
    except YAMLError:
        found = []
    if not found or not all(isinstance(value, Value) for value in found):
        raise UserError(f"--set {text}: write the choices as params.yaml has them, choice:A,B,...: words or numbers")
    return list(found)
