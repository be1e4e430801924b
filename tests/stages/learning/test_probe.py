import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stages.artifacts.cohort import Task
from stages.learning import probe
from stages.networks import probabilities
from stages.runtime import UserError


def _blobs(count, classes, seed):
    rng = np.random.default_rng(seed)
    kinds = np.arange(count) % classes
    centres = np.random.default_rng(99).normal(0, 1, (classes, 12))
    features = (centres[kinds] + rng.normal(0, 1.5, (count, 12))) * np.geomspace(0.01, 100, 12) + 7
    features[:, 5] = 3.5  # never changes
    return features.astype(np.float32), np.eye(classes, dtype=np.float32)[kinds]


def _fit(train, val, task, **options):
    classes = tuple("abc"[: train[1].shape[1]])
    return probe.fit(train, val, task, classes, **{"candidates": [0.1], "class_weights": False, **options})


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize(("task", "classes"), [(Task.BINARY, 2), (Task.MULTICLASS, 3)])
def test_the_folded_layer_says_what_scikit_learn_says(task, classes, balanced):
    train, val = _blobs(90, classes, 0), _blobs(40, classes, 1)
    head = _fit(train, val, task, class_weights=balanced)
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.1, max_iter=2000, class_weight="balanced" if balanced else None)
    )
    expected = model.fit(train[0].astype(np.float64), train[1].argmax(axis=1)).predict_proba(val[0].astype(np.float64))
    layer = torch.nn.Linear(12, classes)
    layer.load_state_dict({"weight": torch.tensor(head.weight), "bias": torch.tensor(head.bias)})
    found = probabilities(layer(torch.tensor(val[0])), task).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_each_label_has_a_regression_on_what_is_known_of_it():
    train, val = _blobs(90, 3, 0), _blobs(40, 3, 1)
    train[1][::3, 1] = np.nan
    head = _fit(train, val, Task.MULTILABEL)
    known = ~np.isnan(train[1][:, 1])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    model[0].fit(train[0].astype(np.float64))
    model[1].fit(model[0].transform(train[0].astype(np.float64))[known], train[1][known, 1])
    expected = model.predict_proba(val[0].astype(np.float64))[:, 1]
    found = probabilities(torch.tensor(head.logits(val[0])), Task.MULTILABEL)[:, 1]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_validation_chooses_the_penalty():
    train, val = _blobs(60, 2, 0), _blobs(400, 2, 1)
    candidates = [1e-7, 1e-2, 1e4]
    judged = {}
    for c in candidates:
        head = _fit(train, val, Task.BINARY, candidates=[c])
        judged[c] = probe.auroc(val[1], head.logits(val[0]), Task.BINARY)
    assert _fit(train, val, Task.BINARY, candidates=candidates).c == max(candidates, key=judged.get)


def test_among_equals_the_strongest_penalty_is_kept():
    features = np.concatenate([np.zeros((20, 12)), np.ones((20, 12))]).astype(np.float32)
    labels = np.eye(2, dtype=np.float32)[[0] * 20 + [1] * 20]
    assert _fit((features, labels), (features, labels), Task.BINARY, candidates=[1.0, 0.01, 0.1]).c == 0.01


def test_a_class_without_training_images_is_told():
    train, val = _blobs(90, 3, 0), _blobs(40, 3, 1)
    here = train[1][:, 2] == 0
    with pytest.raises(UserError, match="train needs images that are 'c'"):
        _fit((train[0][here], train[1][here]), val, Task.MULTICLASS)
