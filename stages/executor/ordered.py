"""Results in the order of the items, wherever and by however many they are made."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future  # noqa: TC003 - of a variable
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import TypeVar

from stages.executor import code, places
from stages.executor.journal import Journal
from stages.executor.places import Place
from stages.executor.work import Chunk, Home, Work
from stages.runtime import log
from stages.settings import Settings

T = TypeVar("T")
R = TypeVar("R")


def ordered(name: str, work: Work[T, R], items: Sequence[T], chunk: int, *, inline: bool = False) -> Iterator[R]:
    """The result of every item, in the order of ``items``: the same whatever the number of processes, and where.

    Parameters
    ----------
    name
        As :func:`stages.runtime.run` has it: under it the finished chunks are kept until the stage has ended well.
    chunk
        Items handed out at a time: enough that handing out costs nothing, few enough that little is done twice.
    inline
        Where there is no cluster, work in this process: for work that uses all cores, or a GPU, by itself.

    Raises
    ------
    UserError
        What the work raises, or that there is no cluster where ``RADREPRO_DASK`` says.
    """
    journal = Journal(name, work)
    home = Home(Path.cwd(), code.SOURCE, code.fingerprint())
    parts = iter([items[start : start + chunk] for start in range(0, len(items), chunk)])
    done = 0
    waiting: deque[tuple[Path, Future[None] | None]] = deque()
    with _place(-(-len(items) // chunk), inline=inline) as place:
        while True:
            for part in islice(parts, place.ahead - len(waiting)):
                target = journal.path(part)
                done += target.exists()
                future = None if target.exists() else place.executor.submit(place.run, Chunk(work, part, target, home))
                waiting.append((target, future))
            if not waiting:
                break
            target, future = waiting.popleft()
            if future:
                future.result()
            yield from work.load(target)
    if done:
        log.info("went on from %d finished chunks of an earlier run", done)


def _place(chunks: int, *, inline: bool) -> AbstractContextManager[Place]:
    settings = Settings()
    if settings.dask:
        return places.cluster(settings.dask)
    return places.inline() if inline else places.processes(max(1, min(settings.workers, chunks)))
