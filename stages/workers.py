"""One function over many files in worker processes: in order, in bounded memory, past a file that kills its worker."""

import logging
import multiprocessing
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeVar

from stages.runtime import die_with_parent

T = TypeVar("T")
R = TypeVar("R")


def ordered(
    function: Callable[[T], R], items: Iterable[T], crashed: Callable[[T], R], workers: int, chunk: int
) -> Iterator[R]:
    """``function`` of every item, in the order of ``items`` whatever the number of workers.

    Parameters
    ----------
    function
        Importable by name, for it runs in other processes; what it raises ends the run.
    crashed
        The result for an item whose worker died (a native decoder's crash, or the kernel out of memory). Items that
        only shared a worker with it are done again, each alone.
    workers, chunk
        Processes, and items handed to one at a time. At most ``2 * workers * chunk`` results wait in memory.
    """
    rest = iter(items)
    waiting: deque[tuple[list[T], Future[list[R]]]] = deque()
    pool = _pool(workers)
    try:
        while True:
            try:
                while len(waiting) < 2 * workers and (part := list(islice(rest, chunk))):
                    waiting.append((part, Future()))  # known before it is submitted: a broken pool refuses it
                    waiting[-1] = (part, pool.submit(_each, function, part))
                if not waiting:
                    return
                results = waiting[0][1].result()
            except BrokenProcessPool:
                pool.shutdown()
                for part, future in waiting:
                    done = future.done() and future.exception() is None
                    yield from future.result() if done else _one_by_one(function, part, crashed)
                waiting.clear()
                pool = _pool(workers)
            else:
                waiting.popleft()
                yield from results
    finally:
        pool.shutdown(cancel_futures=True)


def _each(function: Callable[[T], R], part: list[T]) -> list[R]:
    return [function(item) for item in part]


def _one_by_one(function: Callable[[T], R], part: list[T], crashed: Callable[[T], R]) -> Iterator[R]:
    pool = _pool(1)
    try:
        for item in part:
            try:
                result = pool.submit(function, item).result()
            except BrokenProcessPool:
                pool.shutdown()
                pool = _pool(1)
                result = crashed(item)
            yield result
    finally:
        pool.shutdown(cancel_futures=True)


def _pool(workers: int) -> ProcessPoolExecutor:
    # Forked workers start at once; elsewhere than on Linux fork is unsafe, and a worker imports everything again.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_start)


def _start() -> None:
    die_with_parent()
    # Libraries quote header values in what they warn of and log, and a name must not reach a log: results say it all.
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
