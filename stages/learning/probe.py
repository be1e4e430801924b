"""A linear probe: logistic regression on frozen features, handed on as the last layer of a classifier."""

import logging
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has no types

from stages.artifacts.cohort import Task
from stages.learning.scores import auroc
from stages.networks import probabilities
from stages.runtime import UserError

_ITERATIONS = 2000
_CONSTANT = 1e-6  # of the widest feature's standard deviation

log = logging.getLogger("radrepro")

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Head:
    """A linear layer on features as they come: the standardisation is folded into it."""

    weight: Array  # (K, D)
    bias: Array  # (K,)
    c: float

    def logits(self, features: npt.NDArray[np.floating]) -> Array:
        """(N, K) of (N, D) features."""
        return features.astype(np.float64) @ self.weight.T + self.bias


def fit(
    train: tuple[npt.NDArray[np.float32], Labels],
    val: tuple[npt.NDArray[np.float32], Labels],
    task: Task,
    classes: tuple[str, ...],
    *,
    candidates: list[float],
    class_weights: bool,
    quiet: bool = False,
) -> Head:
    """The head with the best validation AUROC; among equals the one of the strongest penalty (smallest C).

    Parameters
    ----------
    train, val
        (N, D) features and (N, K) labels: 0, 1 or NaN (unknown).
    candidates
        Inverse strengths C of the L2 penalty on standardised features.
    quiet
        Do not say how good each of them is.

    Raises
    ------
    UserError
        If a class has no training images, or no class can be judged on val.
    """
    features, labels = train
    for label, name in zip(labels.T, classes, strict=True):
        if not ((label == 0).any() and (label == 1).any()):
            raise UserError(f"train needs images that are '{name}' and images that are not: label more patients")
    mean, spread = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    spread[spread < _CONSTANT * spread.max()] = 1  # it tells nothing; divided by nearly 0 it would drown the others
    standardised = (features - mean) / spread
    tried = []
    with threadpool_limits(1):  # sums in another order have other last bits
        for c in sorted(candidates):
            model = LogisticRegression(C=c, class_weight="balanced" if class_weights else None, max_iter=_ITERATIONS)
            weight, bias = _regress(standardised, labels, task, model)
            head = Head(weight / spread, bias - (weight / spread) @ mean, c)
            scores = probabilities(torch.from_numpy(head.logits(val[0])), task).numpy()
            judged = auroc(val[1], scores, task)
            log.log(logging.DEBUG if quiet else logging.INFO, "C %g: val AUROC %.3f", c, judged)
            tried.append((judged, head))
    return max(tried, key=lambda pair: pair[0])[1]


def _regress(features: Array, labels: Labels, task: Task, model: LogisticRegression) -> tuple[Array, Array]:
    """(K, D) weights and (K,) biases on standardised features."""
    if task is Task.MULTILABEL:
        weights, biases = [], []
        for label in labels.T:
            known = ~np.isnan(label)
            model.fit(features[known], label[known])
            weights.append(model.coef_[0])
            biases.append(model.intercept_[0])
        return np.array(weights), np.array(biases)
    model.fit(features, labels.argmax(axis=1))
    weight, bias = model.coef_, model.intercept_
    if task is Task.BINARY:  # scikit-learn has one row for two classes; half each way is the same softmax
        return np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return weight, bias
