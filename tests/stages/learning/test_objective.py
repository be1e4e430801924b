import pytest
import torch
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from stages.artifacts.cohort import Task
from stages.learning.objective import class_weights, mixed, objective

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


def test_the_focal_loss_of_labels_is_torchvisions():
    labels = torch.tensor([[1.0, NAN, 0.0], [0.0, 1.0, 1.0], [0.0, NAN, 0.0]])
    known = ~labels.isnan()
    expected = sigmoid_focal_loss(LOGITS[known], labels[known], alpha=-1, gamma=2, reduction="mean")
    assert objective(Task.MULTILABEL, focal_gamma=2)(LOGITS, labels).item() == pytest.approx(expected.item())


def test_the_focal_loss_of_exclusive_classes_is_the_papers():
    truth = torch.tensor([2, 0, 1])
    p = LOGITS.softmax(dim=1)[range(3), truth]
    expected = (-((1 - p) ** 2) * p.log()).mean()
    assert objective(Task.MULTICLASS, focal_gamma=2)(LOGITS, torch.eye(3)[truth]).item() == pytest.approx(
        expected.item()
    )
    weights = torch.tensor([1.0, 2.0, 4.0])
    weighed = (weights[truth] * -((1 - p) ** 2) * p.log()).sum() / weights[truth].sum()
    found = objective(Task.MULTICLASS, weights, focal_gamma=2)(LOGITS, torch.eye(3)[truth])
    assert found.item() == pytest.approx(weighed.item())


def test_a_mixture_has_the_losses_of_its_parts():
    labels, partners = torch.eye(3)[[2, 0, 1]], torch.tensor([1, 2, 0])
    loss = objective(Task.MULTICLASS, soft=True)
    expected = 0.3 * loss(LOGITS, labels) + 0.7 * loss(LOGITS, labels[partners])
    assert loss(LOGITS, mixed(labels, partners, 0.3)).item() == pytest.approx(expected.item())


def test_what_is_unknown_in_a_part_is_unknown_in_the_mixture():
    labels = torch.tensor([[1.0], [NAN], [0.0]])
    assert mixed(labels, torch.tensor([2, 0, 1]), 0.5).squeeze(1).isnan().tolist() == [False, True, True]
