"""Two models on the images that both were judged on; each number is the one that scikit-learn finds."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from pipeline import versus
from pipeline.versus import Contender
from stages.artifacts.cohort import Task
from stages.evaluate.params import EvaluateParams
from stages.runtime import UserError

CLASSES = ("normal", "sick")
SECTION = EvaluateParams(resamples=100)


def _model(name: str, skill: float, seed: int, images: slice = slice(None)) -> Contender:
    """Two images of each of 100 patients, val first; the labels are the same for every model."""
    random = np.random.default_rng(seed)
    sick = np.tile([0.0, 1.0], 100)
    score = 1 / (1 + np.exp(-(skill * (sick - 0.5) * 4 + random.normal(size=200))))
    frame = pd.DataFrame(
        {
            "image": [f"i{n}" for n in range(200)],
            "patient": [f"p{n // 2}" for n in range(200)],
            "subset": np.repeat(["val", "test"], 100),
            "label:normal": 1 - sick,
            "label:sick": sick,
            "score:normal": 1 - score,
            "score:sick": score,
        }
    )
    return Contender(name, frame.iloc[images])


def _compare(one: Contender, other: Contender) -> dict:
    return versus.compare(one, other, Task.BINARY, CLASSES, SECTION, seed=1)


def test_the_numbers_are_those_of_the_test_side() -> None:
    one, other = _model("new", 0.9, 1), _model("old", 0.2, 2)
    found = _compare(one, other)
    areas = [
        roc_auc_score(test["label:sick"], test["score:sick"])
        for test in (model.predictions[model.predictions["subset"] == "test"] for model in (one, other))
    ]
    assert [entry["value"] for entry in found["metrics"]["auroc"]] == pytest.approx(areas, abs=1e-6)
    assert found["difference"]["auroc"]["value"] == pytest.approx(areas[0] - areas[1], abs=2e-6)
    assert found["delong"]["p"] < 0.01
    said = versus.words(found)
    assert "100 images of 50 patients" in said
    assert f"{areas[0] - areas[1]:+.3f}" in said
    assert "left out" not in said


def test_only_images_that_both_were_judged_on_with_the_same_label_count() -> None:
    one, other = _model("new", 0.9, 1), _model("old", 0.2, 2, slice(0, 180))
    relabelled = one.predictions.copy()
    relabelled.loc[relabelled["image"] == "i150", ["label:normal", "label:sick"]] = [0.0, 1.0]
    found = _compare(Contender("new", relabelled), other)
    assert found["images"] == 79
    assert found["left_out"] == [21, 1]
    assert "21 of new, 1 of old" in versus.words(found)


def test_the_order_of_the_rows_does_not_matter() -> None:
    one, other = _model("new", 0.9, 1), _model("old", 0.2, 2)
    shuffled = Contender("old", other.predictions.sample(frac=1, random_state=0))
    assert _compare(one, shuffled) == _compare(one, other)


def test_models_without_a_common_test_image_are_refused() -> None:
    one, other = _model("new", 0.9, 1), _model("old", 0.2, 2)
    elsewhere = other.predictions.assign(image=[f"else{n}" for n in range(200)])
    with pytest.raises(UserError, match="no common test image"):
        _compare(one, Contender("old", elsewhere))
