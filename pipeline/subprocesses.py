"""Child processes that show what they say as they say it, and never outlive what started them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

_GRACE_SECONDS = 10.0
_GUARDED = "import sys; from stages.runtime import die_with_parent; die_with_parent(); sys.argv = sys.argv[1:]; "


def guarded(call: str, *arguments: str) -> list[str]:
    """A Python command that runs ``call`` and ends with its parent, even where the parent is killed outright."""
    return [sys.executable, "-c", _GUARDED + call, *arguments]


def dvc(*arguments: str) -> list[str]:
    """The command `dvc` with these arguments, guarded."""
    return guarded("from dvc.cli import main; sys.exit(main(sys.argv[1:]))", "dvc", *arguments)


def start(
    command: Sequence[str],
    env: Mapping[str, str] | None = None,
    output: int | IO[str] = subprocess.PIPE,
    folder: Path | None = None,
) -> "subprocess.Popen[str]":
    """Start ``command``, in ``folder`` or here, as the leader of a session of its own: its whole tree can be ended."""
    return subprocess.Popen(
        command,
        stdout=output,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        start_new_session=True,
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
    )


def stream(command: Sequence[str], on_line: Callable[[str], None]) -> int:
    """Run ``command``, pass on every line of its output as it comes, and return its exit status.

    Whatever interrupts this (Ctrl-C, a cancelled flow) ends the whole tree first: a killed `dvc` alone would leave its
    stage running.
    """
    process = start(command)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            on_line(line.rstrip())
        return process.wait()
    except BaseException:
        end(process)
        raise


def end(process: "subprocess.Popen[str]") -> None:
    """End a tree that :func:`start` made: as Ctrl-C does, so that nothing half-written stays, and then for good."""
    for how in (signal.SIGINT, signal.SIGKILL):
        if not _signal(process.pid, how):
            return
        deadline = time.monotonic() + _GRACE_SECONDS
        while time.monotonic() < deadline:
            process.poll()  # reaps it: until then the group counts as alive
            if not _signal(process.pid, 0):
                return
            time.sleep(0.05)


def _signal(group: int, number: int) -> bool:
    """Send a signal to a process group; whether there was anyone to get it."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True
