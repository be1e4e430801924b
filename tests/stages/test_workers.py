import os
import signal
import time
from collections.abc import Iterator

import pytest

from stages import workers


def double(item: int) -> int:
    time.sleep(0.002 * (item % 3))  # late ones must not overtake
    return 2 * item


def fragile(item: int) -> int:
    if item % 10 == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def lost(item: int) -> int:
    return -item


@pytest.mark.parametrize("count", [1, 2, 5])
def test_results_come_in_order_whatever_the_number_of_workers(count: int) -> None:
    assert list(workers.ordered(double, range(40), lost, count, 3)) == [2 * item for item in range(40)]


def test_nothing_to_do() -> None:
    assert list(workers.ordered(double, [], lost, 2, 3)) == []


@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_an_item_that_kills_its_worker_costs_no_other(chunk: int) -> None:
    results = list(workers.ordered(fragile, range(30), lost, 2, chunk))

    assert results == [-item if item % 10 == 7 else item for item in range(30)]


def test_items_are_taken_as_they_are_needed() -> None:
    taken = []

    def items() -> Iterator[int]:
        for item in range(1000):
            taken.append(item)
            yield item

    results = workers.ordered(double, items(), lost, 2, 5)
    next(results)

    assert len(taken) <= 2 * 2 * 5
    results.close()


def refuse(item: int) -> int:
    raise KeyError(item)


def test_what_the_function_raises_ends_the_run() -> None:
    with pytest.raises(KeyError):
        list(workers.ordered(refuse, range(10), lost, 2, 3))
