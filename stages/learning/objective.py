"""What training minimises."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from stages.artifacts.cohort import Task

Objective = Callable[[Tensor, Tensor], Tensor]
"""(N, K) logits and (N, K) labels to the mean loss, a scalar."""


def objective(
    task: Task,
    weights: Tensor | None = None,
    label_smoothing: float = 0.0,
    focal_gamma: float = 0.0,
    *,
    soft: bool = False,
) -> Objective:
    """Cross-entropy of exclusive classes, or binary cross-entropy of each label with the unknown ones (NaN) left out.

    ``weights`` are those of :func:`class_weights`; they must be on the logits' device. With ``focal_gamma`` each loss
    is multiplied by (1 - p)^gamma, p the probability of the truth (Lin et al., "Focal Loss for Dense Object Detection",
    ICCV 2017); labels are 0 or 1 then. ``soft``: labels may be mixed (:func:`mixed`).
    """

    def exclusive(logits: Tensor, labels: Tensor) -> Tensor:
        if focal_gamma:
            truth = labels.argmax(dim=1)
            surprise = functional.cross_entropy(logits, truth, reduction="none")
            losses = (-torch.expm1(-surprise)) ** focal_gamma * surprise
            share = torch.ones_like(losses) if weights is None else weights[truth]
            return (losses * share).sum() / share.sum()
        truth = labels if soft else labels.argmax(dim=1)
        return functional.cross_entropy(logits, truth, weight=weights, label_smoothing=label_smoothing)

    def any_of_several(logits: Tensor, labels: Tensor) -> Tensor:
        known = ~labels.isnan()
        truth = labels.nan_to_num()
        targets = truth * (1 - label_smoothing) + label_smoothing / 2
        losses = functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=weights, reduction="none")
        if focal_gamma:
            surprise = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
            losses = losses * (-torch.expm1(-surprise)) ** focal_gamma
        return (losses * known).sum() / known.sum().clamp(min=1)

    return any_of_several if task is Task.MULTILABEL else exclusive


def mixed(values: Tensor, partners: Tensor, share: float) -> Tensor:
    """Mixup (Zhang et al., ICLR 2018): ``share`` of each image or label, the rest of its partner's.

    A label that is unknown in either is unknown in the mixture.
    """
    return share * values + (1 - share) * values[partners]


def class_weights(task: Task, labels: Tensor) -> Tensor:
    """(K,) weights from the (N, K) labels of train: inverse frequency, or of each label negatives per positive.

    Weighted so, each class counts as much as any other. A class without images has weight 1, which multiplies nothing.
    """
    positives = (labels == 1).sum(dim=0).float()
    if task is Task.MULTILABEL:
        negatives = (labels == 0).sum(dim=0).float()
        return torch.where((positives > 0) & (negatives > 0), negatives / positives.clamp(min=1), 1.0)
    return torch.where(positives > 0, len(labels) / (labels.shape[1] * positives.clamp(min=1)), 1.0)
