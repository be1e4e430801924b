"""What training minimises."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from stages.artifacts.cohort import Task

Objective = Callable[[Tensor, Tensor], Tensor]
"""(N, K) logits and (N, K) labels to the mean loss, a scalar."""


def objective(task: Task, weights: Tensor | None = None, label_smoothing: float = 0.0) -> Objective:
    """Cross-entropy of exclusive classes, or binary cross-entropy of each label with the unknown ones (NaN) left out.

    ``weights`` are those of :func:`class_weights`; they must be on the logits' device.
    """

    def exclusive(logits: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(logits, labels.argmax(dim=1), weight=weights, label_smoothing=label_smoothing)

    def any_of_several(logits: Tensor, labels: Tensor) -> Tensor:
        known = ~labels.isnan()
        targets = labels.nan_to_num() * (1 - label_smoothing) + label_smoothing / 2
        losses = functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=weights, reduction="none")
        return (losses * known).sum() / known.sum().clamp(min=1)

    return any_of_several if task is Task.MULTILABEL else exclusive


def class_weights(task: Task, labels: Tensor) -> Tensor:
    """(K,) weights from the (N, K) labels of train: inverse frequency, or of each label negatives per positive.

    Weighted so, each class counts as much as any other. A class without images has weight 1, which multiplies nothing.
    """
    positives = (labels == 1).sum(dim=0).float()
    if task is Task.MULTILABEL:
        negatives = (labels == 0).sum(dim=0).float()
        return torch.where((positives > 0) & (negatives > 0), negatives / positives.clamp(min=1), 1.0)
    return torch.where(positives > 0, len(labels) / (labels.shape[1] * positives.clamp(min=1)), 1.0)
