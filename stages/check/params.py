"""params.yaml as a whole: every room's section, and what must hold between them."""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from stages.card.params import CardParams
from stages.crossval.params import CrossValidation
from stages.evaluate.params import EvaluateParams
from stages.features.params import FeaturesParams
from stages.finetune.params import Recipe
from stages.ingest.params import IngestParams
from stages.params import Section
from stages.phantom.params import PhantomParams
from stages.preprocess.params import PreprocessParams
from stages.pretrain.params import SelfSupervised
from stages.shortcuts.params import ShortcutsParams
from stages.split.params import SplitParams
from stages.track_params import TrackParams
from stages.weights.params import WeightsEntry


def _safe(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
        raise ValueError("use lower-case letters, digits, '.', '_' and '-' only: it names files and stages")
    return name


Name = Annotated[str, AfterValidator(_safe)]


class Params(Section):
    """The file, whole."""

    seed: int = Field(ge=0)
    batches: list[Name] = Field(min_length=1)
    phantom: PhantomParams
    ingest: IngestParams
    preprocess: PreprocessParams
    split: SplitParams
    weights: dict[Name, WeightsEntry] = Field(min_length=1)
    self_supervised: dict[Name, SelfSupervised]
    features: FeaturesParams
    shortcuts: ShortcutsParams
    recipes: dict[Name, Recipe] = Field(min_length=1)
    cross_validation: CrossValidation
    evaluate: EvaluateParams
    card: CardParams
    track: TrackParams

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        if len(set(self.batches)) != len(self.batches):
            raise ValueError("batches: a name stands twice: name each batch once")
        known = [*self.weights, *self.self_supervised]
        if twice := sorted(self.weights.keys() & self.self_supervised.keys()):
            raise ValueError(f"self_supervised.{twice[0]}: weights has this name too: choose another")
        used = {f"self_supervised.{name}": entry.weights for name, entry in self.self_supervised.items()}
        used |= {"features": self.features.weights}
        used |= {f"recipes.{name}": recipe.weights for name, recipe in self.recipes.items()}
        for where, weights in used.items():
            if weights not in known:
                raise ValueError(
                    f"{where}.weights: '{weights}' is not one of weights ({', '.join(known)}): correct it, or add it "
                    "there"
                )
        for name in self.self_supervised:
            self._require_a_start(name)
        return self

    @model_validator(mode="after")
    def _scratch_is_from_scratch(self) -> Self:
        for name, recipe in self.recipes.items():
            start = self.weights.get(recipe.weights)
            source = start.source if start else "self_supervised"
            if recipe.strategy == "scratch" and source != "random":
                raise ValueError(
                    f"recipes.{name}.weights: strategy scratch starts from source random, and '{recipe.weights}' is of "
                    f"source {source}: name other weights, or choose strategy full"
                )
        return self

    @model_validator(mode="after")
    def _targets_are_there(self) -> Self:
        for name, recipe in self.recipes.items():
            target = getattr(recipe, "target", None)
            if target and target.column == "batch" and target.value not in self.batches:
                raise ValueError(
                    f"recipes.{name}.target.value: '{target.value}' is not one of batches ({', '.join(self.batches)}): "
                    "correct it"
                )
        return self

    @model_validator(mode="after")
    def _external_is_known_and_not_all(self) -> Self:
        external = self.split.external
        for batch in external.batches:
            if batch not in self.batches:
                raise ValueError(
                    f"split.external.batches: '{batch}' is not one of batches ({', '.join(self.batches)}): correct it"
                )
        if set(external.batches) == set(self.batches):
            raise ValueError("split.external.batches: holds out every batch, and none is left to train on")
        for name, recipe in self.recipes.items():
            target = getattr(recipe, "target", None)
            held = {"batch": external.batches, "site": external.sites}
            if target and target.value in held.get(target.column, []):
                raise ValueError(
                    f"recipes.{name}.target.value: '{target.value}' is held out whole by split.external, so its images "
                    "are not trained on: choose another target, or take it out of split.external"
                )
        return self

    @model_validator(mode="after")
    def _prevalence_is_of_classes(self) -> Self:
        for name in self.evaluate.prevalence:
            if name not in self.split.classes:
                raise ValueError(
                    f"evaluate.prevalence: '{name}' is not one of split.classes ({', '.join(self.split.classes)}): "
                    "correct it"
                )
        return self

    @model_validator(mode="after")
    def _cross_validated_recipes_fit(self) -> Self:
        for name in self.cross_validation.recipes:
            if name not in self.recipes:
                raise ValueError(
                    f"cross_validation.recipes: '{name}' is not one of recipes ({', '.join(self.recipes)}): correct it"
                )
            if (start := self.recipes[name].weights) in self.self_supervised:
                raise ValueError(
                    f"cross_validation.recipes: '{name}' starts from '{start}', which self_supervised trained on "
                    "images that folds are judged on: choose a recipe that starts from weights"
                )
        return self

    def _require_a_start(self, name: str) -> None:
        """Raise ValueError if what ``name`` starts from leads back to it."""
        chain = [name]
        while (start := self.self_supervised[chain[-1]].weights) in self.self_supervised:
            if start in chain:
                way = " from ".join([*chain[chain.index(start) :], start])
                raise ValueError(f"self_supervised: {way}: a circle has no start: let one start from weights")
            chain.append(start)
