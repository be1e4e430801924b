"""What a stage wants done with each of its items."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from stages.executor.limits import Limits
from stages.reasons import Reason

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Work(Generic[T, R]):
    """Functions that other processes can import by name.

    Attributes
    ----------
    each
        The result of one item. What it raises ends the run: a fault of one item is a result.
    lost
        The result of an item that crashed its process, or took more time or memory than ``limits`` allow.
    save, load
        Results to a file as they come, and from it.
    stamp
        What tells that an item's content has changed, such as a file's size and time of change.
    parameters
        Everything else that decides a result, as text: finished chunks of other parameters are not taken up.
    limits
        None for work that opens no foreign file.
    """

    each: Callable[[T], R]
    lost: Callable[[T, Reason], R]
    save: Callable[[Path, Iterable[R]], None]
    load: Callable[[Path], Iterator[R]]
    stamp: Callable[[T], object]
    parameters: str
    limits: Limits | None = None


class Home(NamedTuple):
    """Where a process works: absolute paths, seen by all who share the work, and the code it must run."""

    project: Path
    """Where relative paths begin."""

    source: Path
    """The folder that holds ``stages``."""

    code: str
    """:func:`stages.executor.code.fingerprint` of who hands the work out."""


class Chunk(NamedTuple):
    """A few items on their way to a process; their results go to ``target``, an absolute path."""

    work: "Work[Any, Any]"
    items: Sequence[Any]
    target: Path
    home: Home


def results(
    work: Work[T, R], items: Sequence[T], lost: Mapping[int, Reason], begin: Callable[[int], None]
) -> Iterator[R]:
    """One result an item; ``begin`` hears of each before it starts, ``lost`` names those not to try again."""
    for number, item in enumerate(items):
        begin(number)
        if number in lost:
            yield work.lost(item, lost[number])
            continue
        try:
            yield work.each(item)
        except MemoryError:
            yield work.lost(item, Reason.TOO_LARGE)
