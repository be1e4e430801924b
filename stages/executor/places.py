"""Where chunks are worked on: in this process, in others, or on a Dask cluster; each an executor as Python has them."""

from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

from stages.executor import supervisor
from stages.executor.work import Chunk, results
from stages.runtime import UserError, atomic_file

_CONNECT_SECONDS = 30
_AHEAD = 256


class Place(NamedTuple):
    """An executor, what it is to do with a chunk, and how many chunks may be handed out and not yet used."""

    executor: Executor
    run: Callable[[Chunk], None]
    ahead: int


@contextmanager
def inline() -> Iterator[Place]:
    """A thread of this process, beside the one that uses the results."""
    with ThreadPoolExecutor(1) as executor:
        yield Place(executor, _run_here, ahead=2)


def _run_here(chunk: Chunk) -> None:
    with atomic_file(chunk.target) as beside:
        chunk.work.save(beside, results(chunk.work, chunk.items, {}, lambda _: None))


@contextmanager
def processes(count: int) -> Iterator[Place]:
    """``count`` processes of this machine: each thread of the executor waits for one."""
    executor = ThreadPoolExecutor(count)
    try:
        yield Place(executor, supervisor.run, _AHEAD)
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        supervisor.close_all()  # whoever waits for one is free
        executor.shutdown()
        supervisor.close_all()  # what was just being started


@contextmanager
def cluster(scheduler: str) -> Iterator[Place]:
    """The workers of the Dask scheduler at an address such as ``tcp://10.0.0.5:8786``; it redoes what a lost one had.

    Raises
    ------
    UserError
        If it does not answer, or has no worker.
    """
    from distributed import Client, KilledWorker  # noqa: PLC0415 - half a second, for those who have a cluster
    from distributed.comm.core import CommClosedError  # noqa: PLC0415

    try:
        client = Client(scheduler, timeout=_CONNECT_SECONDS)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TypeError, TimeoutError) as error:  # TypeError: tls:// without its settings
        raise UserError(
            f"no Dask scheduler answers at RADREPRO_DASK={scheduler} ({type(error).__name__}): it is an address "
            "such as tcp://10.0.0.5:8786, where 'dask scheduler' runs (tls:// needs Dask's own settings); unset it to "
            "work here"
        ) from None
    with client:
        if not client.scheduler_info(n_workers=-1)["workers"]:
            raise UserError(
                f"the Dask scheduler at {scheduler} has no worker: start some with 'dask worker {scheduler}'"
            )
        executor = client.get_executor(pure=False)  # type: ignore[no-untyped-call]
        try:
            yield Place(executor, supervisor.run, _AHEAD)
        except (KilledWorker, CommClosedError, CancelledError) as error:
            raise UserError(
                f"the Dask cluster gave up ({type(error).__name__}): look at its logs, then run 'dvc repro': it goes "
                "on from the chunks that are done"
            ) from None
        finally:
            executor.shutdown(wait=False)
