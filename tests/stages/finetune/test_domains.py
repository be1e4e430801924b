"""Which images a recipe with a target learns from: the others with labels, the target without."""

import numpy as np
import pandas as pd
import pytest

from stages import params
from stages.artifacts import unlabelled
from stages.artifacts.cohort import COLUMNS, Cohort, Subset, Task
from stages.finetune import domains
from stages.finetune.params import Recipe
from stages.runtime import UserError

SIDES = [str(side) for side in (Subset.TRAIN, Subset.VAL, Subset.TEST)]


def _recipe(strategy="adabn", **target):
    more = {"target": {"column": "batch", "value": "b", **target}} if strategy == "adabn" else {}
    return params.validate(
        {"strategy": strategy, "weights": "w", "epochs": 1, "lr": 0.1, "warmup_epochs": 0, **more},
        Recipe,
        "recipes.test",
    )


@pytest.fixture
def images(workspace):
    """Two batches of six, half of each from another maker, and three of the second without a label."""
    frame = pd.DataFrame({name: [f"{name}{n}" for n in range(15)] for name, _ in COLUMNS})
    frame = frame.assign(batch=["a"] * 6 + ["b"] * 9, row=[*range(6), *range(9)], subset=np.resize(SIDES, 15))
    frame = frame.assign(manufacturer=["x", "y", None] * 5, age=40.0, days=0)
    for batch, count in (("a", 6), ("b", 9)):
        folder = workspace / "data/images" / batch
        folder.mkdir(parents=True)
        np.save(folder / "pixels.npy", np.full((count, 8, 8), np.arange(count)[:, None, None], dtype=np.uint8))
    labelled = frame[:12].assign(**{"label:no": [1.0, 0.0] * 6, "label:yes": [0.0, 1.0] * 6})
    return Cohort(labelled, Task.BINARY, ("no", "yes")), frame[12:][unlabelled.SCHEMA.names]


def test_the_target_is_its_images_in_train_and_those_without_a_label(images):
    target = domains.target(_recipe(), *images)
    assert target.fetch(range(len(target)))[:, 0, 0].tolist() == [0, 3, 6, 7, 8]


def test_labels_of_the_target_neither_train_nor_choose(images):
    cohort, _ = images
    for side in (Subset.TRAIN, Subset.VAL):
        left = domains.source(_recipe(), cohort.subset(side))
        assert set(left.frame["batch"]) == {"a"}
        assert set(left.frame["subset"]) == {str(side)}


def test_a_column_that_is_not_always_there_serves_too(images):
    cohort, rest = images
    recipe = _recipe(column="manufacturer", value="x")
    assert len(domains.target(recipe, cohort, rest)) == 5
    assert len(domains.source(recipe, cohort.subset(Subset.VAL)).frame) == 4


def test_other_recipes_have_no_target_and_lose_nothing(images):
    cohort, rest = images
    assert domains.target(_recipe("full"), cohort, rest) is None
    assert domains.source(_recipe("full"), cohort) is cohort


def test_a_target_without_images_is_told(images):
    with pytest.raises(UserError, match="no image to train on has batch 'c': choose one of a, b"):
        domains.target(_recipe(value="c"), *images)


def test_a_target_that_is_everything_is_told(images):
    cohort, _ = images
    only = Cohort(cohort.frame[cohort.frame["batch"] == "b"], cohort.task, cohort.classes)
    with pytest.raises(UserError, match="all labelled images have batch 'b'"):
        domains.source(_recipe(), only)


def test_what_anything_ties_to_a_held_out_image_is_not_adapted_to(images):
    """Through another image without a label, too; and to one that is in no fold."""
    whole, rest = images
    rest = rest.assign(perceptual_hash=rest["perceptual_hash"].astype(object)).reset_index(drop=True)
    train = whole.subset(Subset.TRAIN)
    assert domains.apart(rest, whole, train)["image"].tolist() == ["image12", "image13", "image14"]
    held = whole.subset(Subset.VAL).frame.iloc[0]
    rest.loc[0, "patient"] = held["patient"]
    rest.loc[1, "study"] = rest.loc[0, "study"]
    rest.loc[2, "patient"] = train.frame.iloc[0]["patient"]
    assert domains.apart(rest, whole, train)["image"].tolist() == ["image14"]
