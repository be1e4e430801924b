import pytest
import torch
from torch.nn import functional

from stages.artifacts.cohort import Task
from stages.finetune.objective import class_weights, objective

NAN = float("nan")
LOGITS = torch.tensor([[1.0, -2.0, 0.5], [0.3, 0.1, -1.0], [2.0, 0.0, 0.0]])


def test_exclusive_classes_have_cross_entropy():
    labels = torch.eye(3)[[2, 0, 1]]
    expected = functional.cross_entropy(LOGITS, torch.tensor([2, 0, 1]), label_smoothing=0.1)
    for task in (Task.MULTICLASS, Task.BINARY):
        assert objective(task, label_smoothing=0.1)(LOGITS, labels).item() == pytest.approx(expected.item())


def test_unknown_labels_neither_count_nor_pull():
    labels = torch.tensor([[1.0, NAN, 0.0], [NAN, NAN, 1.0], [0.0, NAN, 0.0]])
    logits = LOGITS.clone().requires_grad_()
    loss = objective(Task.MULTILABEL)(logits, labels)
    known = ~labels.isnan()
    expected = functional.binary_cross_entropy_with_logits(LOGITS[known], labels[known])
    assert loss.item() == pytest.approx(expected.item())
    loss.backward()
    assert logits.grad[~known].eq(0).all()
    assert logits.grad[known].ne(0).all()


def test_a_batch_without_any_known_label_is_no_loss():
    assert objective(Task.MULTILABEL)(LOGITS, torch.full((3, 3), NAN)).item() == 0


def test_weights_give_every_class_the_same_say():
    labels = torch.eye(3)[[0, 0, 0, 0, 1, 1, 2, 2]]
    weights = class_weights(Task.MULTICLASS, labels)
    torch.testing.assert_close(weights * labels.sum(dim=0), torch.full((3,), 8 / 3))


def test_weights_of_labels_balance_positives_with_negatives():
    labels = torch.tensor([[1.0, 0.0, NAN], [0.0, 0.0, 1.0], [0.0, 0.0, NAN], [0.0, NAN, NAN]])
    assert class_weights(Task.MULTILABEL, labels).tolist() == [3.0, 1.0, 1.0]


def test_a_class_without_images_does_not_spoil_the_weights():
    weights = class_weights(Task.MULTICLASS, torch.eye(3)[[0, 1, 1]])
    assert weights.isfinite().all()
    assert weights[2] == 1
