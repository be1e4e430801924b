import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.learning.sampling import balanced, batches, endless


@given(st.integers(1, 200), st.integers(2, 40), st.integers(0, 5), st.integers(1, 5))
def test_every_image_once_an_epoch_and_never_one_alone(examples, size, seed, epoch):
    parts = batches(examples, size, seed, epoch)
    assert sorted(np.concatenate(parts).tolist()) == list(range(examples))
    assert examples == 1 or all(len(part) > 1 for part in parts)
    assert all(len(part) <= size + 1 for part in parts)


def test_every_epoch_has_its_own_order():
    orders = {tuple(np.concatenate(batches(50, 8, seed, epoch))) for seed in (1, 2) for epoch in (1, 2, 3)}
    assert len(orders) == 6


@given(st.integers(4, 200), st.integers(8, 40), st.integers(2, 4))
def test_the_last_batch_has_enough_for_every_device(examples, size, world):
    parts = batches(examples, size, 0, 1, least=2 * world)
    assert sorted(np.concatenate(parts).tolist()) == list(range(examples))
    assert len(parts) == 1 or all(len(part) >= 2 * world for part in parts)


def test_balanced_draws_every_class_as_often():
    labels = np.eye(3, dtype=np.float32)[[0] * 900 + [1] * 90 + [2] * 10]
    drawn = np.concatenate(batches(1000, 32, 0, 1, balanced(labels)))
    counts = np.bincount(labels[drawn].argmax(axis=1), minlength=3)
    assert len(drawn) == 1000
    assert counts == pytest.approx([1000 / 3] * 3, rel=0.15)


def test_of_several_labels_the_rarest_decides_and_none_is_a_class_too():
    labels = np.array([[1, 0], [1, 0], [1, 1], [0, 0], [np.nan, 0]], dtype=np.float32)
    assert balanced(labels) / balanced(labels)[0] == pytest.approx([1, 1, 3, 1.5, 1.5])


@given(st.integers(1, 50), st.lists(st.integers(1, 20), min_size=1, max_size=10), st.integers(0, 3))
def test_the_other_domain_goes_round_evenly(examples, sizes, seed):
    parts = endless(examples, sizes, seed, 1)
    assert [len(part) for part in parts] == sizes
    counts = np.bincount(np.concatenate(parts), minlength=examples)
    assert counts.max() - counts.min() <= 1
