"""Two quick learners: a random forest for tables, and ridge regression for a backbone's features.

Neither is tuned: the question is what is easy to learn, not how well it can be learnt.
"""

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestClassifier
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has no types

from stages.artifacts.cohort import Task

Floats = npt.NDArray[np.floating]

_TREES = 100
_LEAF = 5  # images at least: a share of them is a score
_MOST = 10_000
"""Images that learn: what a forest does not see in ten thousand is no easy shortcut."""


def forest(
    train: Floats, labels: Floats, test: Floats, task: Task, seed: int, most: int = _MOST, trees: int = _TREES
) -> Floats:
    """(n, K) scores of ``test`` (n, D) from a random forest (Breiman 2001) on ``train`` (N, D), labels (N, K).

    Each tree learns from ``most`` images at most. NaN for a label that train does not hold both ways.
    """
    if task is not Task.MULTILABEL:
        return _fit(train, labels.argmax(axis=1), test, seed, most, trees, labels.shape[1])
    scores = np.full((len(test), labels.shape[1]), np.nan)
    for k, label in enumerate(labels.T):
        known = ~np.isnan(label)
        if len(np.unique(label[known])) > 1:
            scores[:, k] = _fit(train[known], label[known].astype(int), test, seed, most, trees, 2)[:, 1]
    return scores


def _fit(
    train: Floats, classes: npt.NDArray[np.intp], test: Floats, seed: int, most: int, trees: int, count: int
) -> Floats:
    """(n, count) shares of the classes."""
    model = RandomForestClassifier(
        trees, min_samples_leaf=_LEAF, max_samples=min(most, len(train)), random_state=seed, n_jobs=1
    )  # several threads add up in any order, and last bits differ
    model.fit(train, classes)
    scores = np.full((len(test), count), np.nan)
    scores[:, model.classes_] = model.predict_proba(test)
    return scores


class Ridge:
    """Ridge regression (Hoerl and Kennard 1970) on standardised features; one decomposition serves any targets.

    The penalty is the number of features: as strong as as many images more at the mean.
    """

    def __init__(self, train: Floats) -> None:
        self._mean = train.mean(axis=0, dtype=np.float64)
        spread = train.std(axis=0, dtype=np.float64)
        self._scale = np.where(spread > 1e-6 * spread.max(initial=0), spread, np.inf)  # what is constant tells nothing
        self._train = (train - self._mean) / self._scale
        with threadpool_limits(1):  # sums in another order have other last bits
            gram = self._train.T @ self._train
            gram[np.diag_indices_from(gram)] += train.shape[1]
            self._inverse = np.linalg.inv(gram)

    def scores(self, targets: Floats, test: Floats) -> Floats:
        """(n, M) for ``test`` (n, D), learnt from ``targets`` (N, M); an unknown target is taken as the mean."""
        with threadpool_limits(1):
            centred = np.nan_to_num(targets - np.nanmean(targets, axis=0))
            weights = self._inverse @ (self._train.T @ centred)
            scores: Floats = ((test - self._mean) / self._scale) @ weights
        return scores


def some(count: int, seed: int, most: int = _MOST) -> npt.NDArray[np.intp]:
    """``most`` of ``count`` rows at random, in order; all if there are no more."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))
