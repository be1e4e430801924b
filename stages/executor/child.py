"""``python -m stages.executor.child <file descriptor>``: works on chunks until nobody wants more."""

import logging
import resource
import sys
import traceback
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from stages.executor import code, work
from stages.runtime import UserError, atomic_file, die_with_parent, keep_memory

IDLE_SECONDS = 60.0
"""A process of a cluster's worker that is not needed for so long goes."""


def main() -> None:
    """Say which code this is; then for each (work, items, lost, target): the numbers begun, and how it ended."""
    die_with_parent()
    keep_memory()  # of a file's arrays, for the next: a third of the time of an RLE image
    # Libraries quote header values in what they warn of and log, and a name must not reach a log: results say it all.
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    connection: Connection = Connection(int(sys.argv[1]))
    try:
        connection.send(code.fingerprint())
        at_first = 0
        while connection.poll(IDLE_SECONDS):
            wanted, *chunk = connection.recv()
            at_first = at_first or _held()
            connection.send(_end(connection, wanted, *chunk))
            if wanted.limits and _held() - at_first > wanted.limits.memory_mib * 2**20 / 2:
                return  # decoders lose memory over damaged files: another process takes the next chunk
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # nobody is there any more


def _end(connection: Connection, wanted: work.Work[Any, Any], items: Any, lost: Any, target: Any) -> str | UserError:
    """Empty when the results are written, the user's mistake, or where in the code an error came from."""

    def begin(number: int) -> None:
        _limit(wanted)
        connection.send(number)

    try:
        with atomic_file(target) as beside:
            wanted.save(beside, work.results(wanted, items, lost, begin))
    except UserError as error:
        return error
    except Exception as error:  # noqa: BLE001 - told to the parent, which raises
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} in {frame.filename}, line {frame.lineno}"  # its text may quote a header
    return ""


def _limit(wanted: work.Work[Any, Any]) -> None:
    """From what is held now: what a decoder lost of an earlier file must not make this one too large."""
    if wanted.limits is None or sys.platform != "linux":  # elsewhere the limit does not count what malloc maps
        return
    most = _held() + wanted.limits.memory_mib * 2**20
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _held() -> int:
    """Bytes that the limit counts: private writable memory, touched or not (proc(5), statm)."""
    if sys.platform != "linux":
        return 0
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5]) * resource.getpagesize()


if __name__ == "__main__":
    main()
