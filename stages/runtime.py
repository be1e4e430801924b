"""What every stage process needs: one-line errors, one writer, death with the parent, atomic outputs, progress."""

import ctypes
import glob
import hashlib
import json
import logging
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from filelock import FileLock, Timeout
from tqdm import tqdm

STATE = Path(".radrepro")
"""State that is neither an input nor an output: locks, run records, resumable work. Safe to delete between runs."""

UNFINISHED = ".unfinished."
"""Begins the names of what is being written; in .dvcignore, for a killed writer leaves it where stages look."""

_PR_SET_PDEATHSIG = 1
_QUIET_SECONDS = 10.0
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_ONE_GIB = 2**30

log = logging.getLogger("radrepro")
T = TypeVar("T")


class UserError(Exception):
    """Something the user can mend: one line that says what is wrong and what to do. Holds no patient identity."""


def run(stage: str, body: Callable[[], None], item: str = "", product: Path | None = None) -> None:
    """Run a stage's body as a process of its own, then exit: 0 done, 1 a :class:`UserError`, else a traceback.

    ``stage`` and ``item`` name it as DVC does (``ingest``, ``site-a`` for ``ingest@site-a``). While the body runs this
    process holds the stage's lock: a killed ``dvc`` leaves its child running, and a second one must not write to the
    same files. The record of what it cost names ``product`` by its hash: DVC can bring back an older one. Of several
    processes that torchrun started for one stage, the first alone locks, records and speaks.
    """
    name = f"{stage}@{item}" if item else stage
    if os.environ.get("RANK", "0") != "0":
        _follow(body)
    logging.basicConfig(level=logging.INFO, format=f"{name}: %(message)s", stream=sys.stderr)
    try:
        with guarded(name):
            started = time.perf_counter()
            body()
            _record(name, time.perf_counter() - started, product)
            forget(name)
    except UserError as error:
        log.error("error: %s", " ".join(str(error).split()))  # noqa: TRY400 - a user's mistake needs no traceback
        sys.exit(1)
    except KeyboardInterrupt:
        log.info("interrupted: 'dvc repro' goes on from here")
        sys.exit(130)  # as shells say it


def _follow(body: Callable[[], None]) -> NoReturn:
    die_with_parent()
    logging.basicConfig(level=logging.CRITICAL)
    try:
        body()
    except UserError:
        sys.exit(1)  # the first process says why
    sys.exit(0)


def work(name: str) -> Path:
    """The folder for what ``name`` has done so far: there after it was killed, gone after it ended well."""
    return STATE / "work" / name


def forget(name: str) -> None:
    """Remove :func:`work`: all of it was used."""
    shutil.rmtree(work(name), ignore_errors=True)


@contextmanager
def guarded(name: str) -> Iterator[None]:
    """Die with the parent, and be the only writer of ``name``. Raises :class:`UserError` if another one runs."""
    die_with_parent()
    lock = STATE / "locks" / f"{name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(lock)
    try:
        held.acquire(timeout=0)
    except Timeout:
        raise UserError(f"another process is running {name}: wait for it, or stop it, then try again") from None
    with held:
        held.release()  # the context holds it once more
        yield


def die_with_parent() -> None:
    """Ask the kernel to end this process when its parent ends; also the initializer of every worker process (Linux)."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the request reached the kernel
        sys.exit(1)


def keep_memory() -> None:
    """Ask glibc to keep freed memory: work that takes and frees the same large arrays pays for new pages each time."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, _ONE_GIB)
        libc.mallopt(_M_TRIM_THRESHOLD, _ONE_GIB)


def argument(what: str) -> str:
    """The one argument that a stage of a group takes, such as the batch's name."""
    if len(sys.argv) != 2:  # noqa: PLR2004
        raise SystemExit(f"usage: python -m stages.<stage> <{what}>: DVC calls this; run 'dvc repro'")
    return sys.argv[1]


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to; it takes ``path``'s place when the block ends well, and goes otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{UNFINISHED}{path.name}.", suffix=path.suffix)
    os.close(descriptor)
    beside = Path(name)
    try:
        yield beside
        beside.chmod(0o644)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """As :func:`atomic_file`, for a directory: ``path`` is either the old one or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f"{UNFINISHED}{glob.escape(path.name)}.????????"):  # by a killed writer: one at a time
        shutil.rmtree(left)
    beside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f"{UNFINISHED}{path.name}."))
    try:
        yield beside
        beside.chmod(0o755)
        if path.exists():
            shutil.rmtree(path)
        beside.replace(path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def write_json(path: Path, content: object) -> None:
    """JSON that is the same bytes for the same content; NaN is refused, for no other reader takes it."""
    with atomic_file(path) as beside:
        beside.write_text(json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """What a stage wrote with :func:`write_json`. Raises :class:`UserError` if it is missing."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is not here: run 'dvc repro'") from None
    return content


def progress(items: Iterable[T], total: int, unit: str) -> Iterator[T]:
    """Pass ``items`` on and show how far it is: a bar in a terminal, a quiet line every ten seconds in a log file."""
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, unit=unit, dynamic_ncols=True, leave=False)
        return
    said = started = time.monotonic()
    for count, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - said >= _QUIET_SECONDS:
            said = now
            log.info("%d of %d %s, %.0f a second", count, total, unit, count / (now - started))


def records() -> dict[str, dict[str, Any]]:
    """What each stage last cost on this machine: seconds, peak memory of its largest process in MiB, and of what."""
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((STATE / "records").glob("*.json"))
    }


def _record(name: str, seconds: float, product: Path | None) -> None:
    # Kept beside DVC's outputs, not in them: a duration differs every time and would make every rebuild look different.
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    record: dict[str, Any] = {"seconds": round(seconds, 3), "peak_mib": round(peak / 1024, 1)}
    if product:
        with product.open("rb") as file:
            record["product_sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
    write_json(STATE / "records" / f"{name}.json", record)
