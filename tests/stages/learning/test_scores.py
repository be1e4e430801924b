import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score

from stages.artifacts.cohort import Task
from stages.learning.scores import auroc
from stages.runtime import UserError


@given(
    st.integers(2, 40).flatmap(
        lambda n: st.tuples(
            arrays(np.float32, n, elements=st.sampled_from([0.0, 1.0])),
            arrays(np.float64, n, elements=st.integers(0, 5).map(float)),  # many ties
        )
    )
)
def test_it_is_that_of_scikit_learn_ties_included(case):
    positive, scores = case
    labels, both = np.stack([1 - positive, positive], axis=1), np.stack([-scores, scores], axis=1)
    if positive.min() == positive.max():
        with pytest.raises(UserError, match="no class can be judged"):
            auroc(labels, both, Task.BINARY)
    else:
        assert auroc(labels, both, Task.BINARY) == pytest.approx(roc_auc_score(positive, scores))


def test_several_classes_are_averaged_one_against_the_rest():
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 3, 50)
    scores = rng.dirichlet([1, 1, 1], 50)
    expected = roc_auc_score(kinds, scores, multi_class="ovr", average="macro")
    assert auroc(np.eye(3, dtype=np.float32)[kinds], scores, Task.MULTICLASS) == pytest.approx(expected)


def test_a_class_that_cannot_be_judged_is_left_out_and_so_are_unknown_labels():
    labels = np.array([[1, 0, np.nan], [0, 0, 1], [1, 0, 0], [0, 0, 1]], dtype=np.float32)
    scores = np.array([[0.9, 0.1, 1.0], [0.1, 0.2, 0.9], [0.2, 0.3, 0.8], [0.8, 0.4, 0.7]])
    assert auroc(labels, scores, Task.MULTILABEL) == pytest.approx((0.75 + 0.5) / 2)
