import threading
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.loading import Images, ahead
from stages.runtime import UserError

ROWS = {"a": 5, "b": 7}


def _store(folder, batch, count, size=8):
    pixels = np.full((count, size, size), ord(batch[0]), dtype=np.uint8)
    pixels[:, 0, 0] = np.arange(count)
    (folder / "data/images" / batch).mkdir(parents=True)
    np.save(folder / "data/images" / batch / "pixels.npy", pixels)


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loading")
    frame = pd.DataFrame([(batch, row) for batch, count in ROWS.items() for row in range(count)][::-1])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for batch, count in ROWS.items():
            _store(folder, batch, count)
        yield Images(frame.set_axis(["batch", "row"], axis=1))


@given(st.lists(st.integers(0, 11)))
def test_images_come_in_the_order_they_are_asked_for(mapped, indices):
    everything = [(batch, row) for batch, count in ROWS.items() for row in range(count)][::-1]
    fetched = mapped.fetch(indices)
    assert fetched.shape == (len(indices), 8, 8)
    assert [(chr(image[1, 1]), image[0, 0]) for image in fetched] == [everything[index] for index in indices]


def test_length_and_size(mapped):
    assert (len(mapped), mapped.image_size) == (12, 8)


def test_a_row_that_the_array_does_not_have_is_refused(workspace):
    _store(workspace, "a", 3)
    with pytest.raises(UserError, match="'a' has fewer images than the cohort says"):
        Images(pd.DataFrame({"batch": ["a"], "row": [3]}))


def test_batches_of_different_sizes_are_refused(workspace):
    _store(workspace, "a", 3)
    _store(workspace, "b", 3, size=16)
    with pytest.raises(UserError, match="differ in image size"):
        Images(pd.DataFrame({"batch": ["a", "b"], "row": [0, 0]}))


def test_a_missing_batch_is_told(workspace):
    with pytest.raises(UserError, match="run 'dvc repro'"):
        Images(pd.DataFrame({"batch": ["a"], "row": [0]}))


def test_one_item_is_made_ahead_and_no_more():
    made = []

    def items():
        for number in range(5):
            made.append((number, threading.get_ident()))
            yield number

    stream = ahead(items())
    assert next(stream) == 0
    deadline = time.monotonic() + 10
    while len(made) < 2 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert [number for number, _ in made] == [0, 1]
    assert list(stream) == [1, 2, 3, 4]
    assert threading.get_ident() not in {thread for _, thread in made}


def test_an_error_comes_after_the_items_before_it():
    def items():
        yield 1
        raise UserError("gone")

    stream = ahead(items())
    assert next(stream) == 1
    with pytest.raises(UserError, match="gone"):
        next(stream)
