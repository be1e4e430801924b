"""What the stages found, read from their outputs and checked against dvc.lock before anyone else is told."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import summary
from pipeline.lineage import Chain, File, Stage
from pipeline.tracking import names, workspace
from stages import params
from stages.artifacts import card, cohort, crossval, evaluation, intake, model, pretraining, weights
from stages.artifacts.cohort import Cohort
from stages.artifacts.intake import Intake
from stages.finetune.params import Recipe
from stages.pretrain.params import SelfSupervised
from stages.runtime import UserError


@dataclass(frozen=True)
class RecipeResult:
    """One recipe: how it was trained, and how it did."""

    name: str
    params: dict[str, Any]
    """As in params.yaml, with the defaults that apply."""
    training: dict[str, Any]
    history: pd.DataFrame
    metrics: dict[str, dict[str, Any]]
    """``{"val": {"auroc": {"value", "low", "high"}, ...}, "test": ...}``; ``crossval`` where it was cross-validated."""
    cost: dict[str, float]
    """``seconds`` and ``peak_mib`` of its training; empty if that was elsewhere."""
    sha256: str
    """Of model.safetensors."""
    evaluated_by: str
    """The name of the stage that judged it: its chain holds all that made the model."""

    def numbers(self) -> dict[str, float]:
        """Every number of evaluation.json by its path there, but for what is undefined, and for lists.

        ``test.auroc``, ``test.auroc.low``, ``test.images``, ``test.per_class.effusion``, ``test.calibration.ece``...
        A number in a list has no name that stays: bins and curves are plots and files.
        """
        found: dict[str, float] = {}
        for name, value in _numbers(self.metrics):
            found[names.free(names.clean(name), found)] = value
        return found


@dataclass(frozen=True)
class PretrainingResult:
    """One entry of ``self_supervised``, which a recipe rests on: what was done, and how it went."""

    name: str
    params: dict[str, Any]
    """As in params.yaml, with the defaults that apply."""
    record: dict[str, Any]
    curves: tuple[pd.DataFrame, ...]
    """The loss, and what a linear probe found: an ``epoch`` and numbers in a row."""
    cost: dict[str, float]
    """As of a recipe."""
    sha256: str
    """Of the weights."""


@dataclass(frozen=True)
class Results:
    """All recipes, the best of them by validation, and the data they share."""

    recipes: tuple[RecipeResult, ...]
    pretrained: tuple[PretrainingResult, ...]
    """What they started from and was made here, in the order in which data flows."""
    best: RecipeResult
    cohort: Cohort
    cohort_file: File
    intake: Intake
    """What became of every file that came in."""
    test_looks: int
    """How many models the test side has judged, in all, as its ledger has it."""
    warnings: tuple[str, ...]
    """What else than the disease tells the label."""


def read(chain: Chain) -> Results:
    """Read them.

    Raises
    ------
    UserError
        If a file is missing, or is not the one that dvc.lock records.
    """
    recipes = tuple(_recipe(name, chain) for name in params.load()["recipes"])
    _checked(chain.maker(str(evaluation.COMPARISON_PATH)))
    compared = json.loads(evaluation.COMPARISON_PATH.read_text(encoding="utf-8"))
    best = compared["best"]
    found = {recipe.name: recipe for recipe in recipes}
    if best not in found:
        raise UserError(f"{evaluation.COMPARISON_PATH} is about other recipes than params.yaml: run 'dvc repro'")
    split = _checked(chain.maker(str(cohort.PATH)))
    file = next(out for out in split.outputs if out.path == str(cohort.PATH))
    _checked(chain.maker(str(intake.PATH)))
    pretrained = tuple(_pretraining(stage) for stage in chain.stages if stage.label.startswith("pretrain@"))
    looks, warnings = compared["test_looks"], tuple(compared["warnings"])
    return Results(recipes, pretrained, found[best], Cohort.read(), file, intake.read(), looks, warnings)


def _numbers(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield prefix.removesuffix(".") if key == "value" and prefix else f"{prefix}{key}", float(value)


def _recipe(name: str, chain: Chain) -> RecipeResult:
    _checked(chain.maker(str(model.weights_path(name))))
    judged = _checked(chain.maker(str(evaluation.path(name))))
    _checked(chain.maker(str(card.path(name))))
    settings: Recipe = params.read(f"recipes.{name}", Recipe)  # type: ignore[arg-type]  # a union is no class
    return RecipeResult(
        name=name,
        params=settings.model_dump(),
        training=json.loads(model.training_path(name).read_text(encoding="utf-8")),
        history=pd.read_csv(model.history_path(name)),
        metrics=evaluation.read(name) | _crossval(name, chain),
        cost=summary.training_cost(name),
        sha256=workspace.sha256(model.weights_path(name)),
        evaluated_by=judged.name,
    )


def _crossval(name: str, chain: Chain) -> dict[str, Any]:
    """What all folds say together, if ``cross_validation`` names the recipe."""
    if name not in (params.load().get("cross_validation") or {}).get("recipes", ()):
        return {}
    _checked(chain.maker(str(crossval.path(name))))
    found = crossval.read(name)
    return {"crossval": {key: found[key] for key in ("mean", "spread", "pooled", "images", "patients")}}


def _pretraining(stage: Stage) -> PretrainingResult:
    _checked(stage)
    name = stage.label.partition("@")[2]
    settings: SelfSupervised = params.read(f"self_supervised.{name}", SelfSupervised)  # type: ignore[arg-type]  # a union
    return PretrainingResult(
        name=name,
        params=settings.model_dump(),
        record=json.loads(pretraining.record_path(name).read_text(encoding="utf-8")),
        curves=tuple(pd.read_csv(path) for path in (pretraining.loss_path(name), pretraining.probe_path(name))),
        cost=summary.pretraining_cost(name),
        sha256=workspace.sha256(weights.path(name)),
    )


def _checked(stage: Stage) -> Stage:
    """Its outputs are what the lock says; else MLflow would be told of one file and given another."""
    for out in stage.outputs:
        if workspace.md5(Path(out.path)) != out.md5:
            raise UserError(f"{out.path} is not what dvc.lock records: run 'dvc repro', which makes or restores it")
    return stage
