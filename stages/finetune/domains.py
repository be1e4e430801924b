"""The other site of domain adaptation: its images, without their labels."""

import pandas as pd

from stages.artifacts.cohort import TIES, Cohort, Subset
from stages.finetune.params import AdaBN, Coral, Dann, Recipe
from stages.loading import Images
from stages.runtime import UserError


def target(recipe: Recipe, cohort: Cohort, unlabelled: pd.DataFrame) -> Images | None:
    """The target's images in train and, where there are any, those that have no label; None for other recipes.

    Raises
    ------
    UserError
        If there are none.
    """
    if not isinstance(recipe, AdaBN | Coral | Dann):
        return None
    column, value = recipe.target.column, recipe.target.value
    sides = [cohort.subset(Subset.TRAIN).frame, unlabelled]
    rows = pd.concat([side.loc[side[column] == value, ["batch", "row"]] for side in sides], ignore_index=True)
    if rows.empty:
        known = ", ".join(sorted(map(str, pd.concat(sides)[column].dropna().unique()))[:5]) or "another column"
        raise UserError(f"target: no image to train on has {column} '{value}': choose one of {known}")
    return Images(rows)


def apart(unlabelled: pd.DataFrame, whole: Cohort, train: Cohort) -> pd.DataFrame:
    """The rows of ``unlabelled`` that nothing ties to images of ``whole`` beside ``train``, nor through one another."""
    out, free = whole.frame[~whole.frame["image"].isin(train.frame["image"])], unlabelled
    while len(out):
        tied = pd.concat([free[kind].isin(out[kind].dropna()) for kind in TIES], axis=1).any(axis=1)
        out, free = free[tied], free[~tied]
    return free.reset_index(drop=True)


def source(recipe: Recipe, side: Cohort) -> Cohort:
    """``side`` without the target's rows: its labels neither train nor choose.

    Raises
    ------
    UserError
        If nothing is left.
    """
    if not isinstance(recipe, AdaBN | Coral | Dann):
        return side
    others = side.frame[side.frame[recipe.target.column] != recipe.target.value]
    if others.empty:
        where = f"{recipe.target.column} '{recipe.target.value}'"
        raise UserError(f"target: all labelled images have {where}, and none is left to learn from: choose another")
    return Cohort(others.reset_index(drop=True), side.task, side.classes)
