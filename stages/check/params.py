"""params.yaml as a whole: every room's section, and what must hold between them."""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from stages.evaluate.params import EvaluateParams
from stages.features.params import FeaturesParams
from stages.finetune.params import Recipe
from stages.ingest.params import IngestParams
from stages.params import Section
from stages.phantom.params import PhantomParams
from stages.preprocess.params import PreprocessParams
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
    features: FeaturesParams
    recipes: dict[Name, Recipe] = Field(min_length=1)
    evaluate: EvaluateParams
    track: TrackParams

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        if len(set(self.batches)) != len(self.batches):
            raise ValueError("batches: a name stands twice: name each batch once")
        used = {"features": self.features.weights, **{f"recipes.{name}": r.weights for name, r in self.recipes.items()}}
        for where, weights in used.items():
            if weights not in self.weights:
                known = ", ".join(self.weights)
                raise ValueError(
                    f"{where}.weights: '{weights}' is not one of weights ({known}): correct it, or add it there"
                )
        return self
