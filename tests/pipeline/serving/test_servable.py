"""What a model is packed with, from the chain and the cohort."""

import numpy as np
import pandas as pd
import pytest

from pipeline.lineage import Chain, Stage
from pipeline.serving.spec import Conformal, Kind
from pipeline.tracking import servable
from pipeline.tracking.results import RecipeResult
from stages.artifacts import cohort
from stages.artifacts.cohort import Cohort, Task
from stages.preprocess.params import Most
from stages.runtime import UserError

KINDS = [("DX", "CHEST"), ("CR", "CHEST"), ("CR", "CHEST"), ("DX", None), ("MG", "BREAST"), ("CR", "CHEST")]
SIDES = ["train", "train", "train", "train", "val", "test"]


def _cohort() -> Cohort:
    frame = pd.DataFrame({name: [f"{name}{at}" for at in range(len(KINDS))] for name, _ in cohort.COLUMNS})
    frame["modality"], frame["body_part"] = zip(*KINDS, strict=True)
    labels = {"label:a": np.ones(len(KINDS)), "label:b": np.zeros(len(KINDS))}
    return Cohort(frame.assign(subset=SIDES, **labels), Task.BINARY, ("a", "b"))


def _chain(*sizes: int) -> Chain:
    given = {"ingest": {"key_file": "secret.key"}}
    stages = [Stage("ingest@x", "", (), (), (), given)]
    stages += [
        Stage(f"preprocess@{at}", "", (), (), (), {"preprocess": {"size": size, "frames": {"max": 4}}})
        for at, size in enumerate(sizes)
    ]
    return Chain(tuple(stages), ())


def _recipe(**metrics: object) -> RecipeResult:
    return RecipeResult("best", {}, {}, pd.DataFrame(), metrics, {}, "a" * 64, "evaluate@best")


def test_the_domain_is_what_train_holds_most_images_first() -> None:
    assert servable.domain(_cohort()) == (
        Kind(modality="CR", body_part="CHEST", images=2),
        Kind(modality="DX", body_part="CHEST", images=1),
        Kind(modality="DX", body_part=None, images=1),
    )


def test_parameters_are_those_of_the_lock() -> None:
    chain = _chain(64, 64)
    found = servable.spec(_recipe(thresholds={"b": 0.25}), _cohort(), chain)
    assert (found.preprocess.size, found.preprocess.frames) == (64, Most(max=4))
    assert found.thresholds == {"b": 0.25}
    assert found.chain_sha256 == chain.sha256
    assert found.conformal is None


def test_batches_made_in_two_ways_are_refused() -> None:
    with pytest.raises(UserError, match="different 'preprocess' parameters"):
        servable.spec(_recipe(thresholds={}), _cohort(), _chain(64, 96))


def test_quantiles_of_prediction_sets_are_taken_along() -> None:
    calibrated = {"method": "lac", "coverage": 0.9, "quantiles": {"all": 1}}
    found = servable.spec(_recipe(thresholds={}, conformal=calibrated), _cohort(), _chain(64))
    assert found.conformal == Conformal(method="lac", coverage=0.9, quantiles={"all": 1.0})


def test_sets_that_are_made_in_a_way_that_is_not_known_here_are_refused() -> None:
    calibrated = {"method": "aps", "coverage": 0.9, "quantiles": {"all": 0.5}}
    with pytest.raises(UserError, match=r"evaluation.json: conformal.method"):
        servable.spec(_recipe(thresholds={}, conformal=calibrated), _cohort(), _chain(64))
