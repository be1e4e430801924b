"""Folds of cross-validation: the patients of train and val, dealt once more; test stays sealed."""

import pandas as pd

from stages.artifacts.cohort import Cohort, Subset
from stages.artifacts.folds import Folds
from stages.split import deal

_SALT = "folds"


def fold(cohort: Cohort, count: int) -> Folds:
    """Deal the images of train and val to ``count`` folds as :func:`stages.split.deal.deal` deals to sides.

    So a group is in one fold, each stratum of ``count`` groups or more reaches every fold, and a later batch moves
    nobody. An image of a later batch that would tie two folds together is in none.
    """
    sides = cohort.frame["subset"].isin([Subset.TRAIN.value, Subset.VAL.value]).to_numpy()
    images = cohort.frame[sides].reset_index(drop=True)
    names = [str(number) for number in range(1, count + 1)]
    found = deal.deal(images, cohort.labels()[sides], dict.fromkeys(names, 1 / count), _SALT)
    placed = found.notna()
    images = images[placed].reset_index(drop=True)
    numbers = found[placed].to_numpy(dtype="int32")
    # their own groups: an image that is in no fold ties patients of two, whom the cohort has as one group
    return Folds(pd.DataFrame({"image": images["image"], "fold": numbers, "group": deal.groups(images)}), count)
