"""The ``cross_validation`` section of params.yaml."""

from typing import Self

from pydantic import Field, model_validator

from stages.params import Section


class CrossValidation(Section):
    """Which recipes are cross-validated on the patients of train and val, and in how many folds."""

    recipes: list[str]
    """Names of ``recipes``; none costs nothing."""

    folds: list[int] = Field(min_length=3, max_length=20)
    """1, 2, ... k: DVC makes a stage of each. Three at least: one judges, one chooses, the others train."""

    @model_validator(mode="after")
    def _numbered(self) -> Self:
        if self.folds != list(range(1, len(self.folds) + 1)):
            raise ValueError(f"folds: number them from 1, as in {list(range(1, len(self.folds) + 1))}")
        if len(set(self.recipes)) != len(self.recipes):
            raise ValueError("recipes: a name stands twice: name each recipe once")
        return self
