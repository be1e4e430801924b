"""A process that works on chunks, and what becomes of a file that crashes it, hangs it, or fills its memory."""

import os
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

from stages.executor.work import Chunk, Home
from stages.reasons import Reason
from stages.runtime import UserError

_START_SECONDS = 300.0
_STRIKES = 2
"""A file is to blame when its process ends at it for the second time: a machine has reasons of its own to kill one."""


class Ended(Exception):  # noqa: N818 - told in the name
    """The process is gone, or hangs; ``reason`` is what a file that did it is quarantined for."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.name)
        self.reason = reason


class DefectError(RuntimeError):
    """An error of the program's own, told without its text: that may quote a file."""


class Supervisor:
    """One process of :mod:`stages.executor.child`, replaced when it ends.

    A process of its own program, not a fork: threads and a cluster's workers can start it, and nothing is inherited.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._closed = False

    def run(self, chunk: Chunk) -> None:
        """Work on a chunk until its results are written.

        Raises
        ------
        UserError
            What the work raised, or that the process runs other code.
        DefectError
            Any other error of the work.
        """
        lost: dict[int, Reason] = {}
        strikes: Counter[int] = Counter()
        while True:
            begun = -1
            try:
                for begun in self._begun(chunk, lost):  # noqa: B007 - the last one counts
                    pass
            except Ended as ended:
                self._stop()
                if self._closed:
                    raise
                strikes[begun] += 1
                if strikes[begun] >= _STRIKES:
                    if begun < 0 or begun in lost:
                        raise DefectError("a worker process ends before or after it reads a file") from None
                    lost[begun] = ended.reason
            else:
                return

    def close(self) -> None:
        """End the process; from another thread, too: the one that waits for it finds it gone."""
        self._closed = True
        if process := self._process:
            process.kill()
            process.wait()

    def _begun(self, chunk: Chunk, lost: dict[int, Reason]) -> Iterator[int]:
        """The numbers of the items as they are begun, and no more when the results are written."""
        connection = self._start()
        limits = chunk.work.limits
        self._send(connection, (chunk.work, chunk.items, lost, chunk.target))
        seconds = _START_SECONDS  # to import what the work needs
        while True:
            said = self._receive(connection, seconds if limits else None)
            if isinstance(said, int):
                yield said
                seconds = limits.seconds if limits else seconds
            elif isinstance(said, UserError):
                raise said
            elif said:
                raise DefectError(said)
            else:
                return

    def _start(self) -> Connection:
        if self._process and self._connection and self._process.poll() is None:
            return self._connection
        self._stop()
        if self._closed:
            raise Ended(Reason.DECODER_CRASHED)
        if not self._home.project.is_dir() or not self._home.source.is_dir():
            raise UserError(
                f"a Dask worker does not see {self._home.project}: put the project on a file system that all share"
            )
        inherited = os.environ.get("PYTHONPATH", "")
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stages.executor.child", str(theirs.fileno())],
                cwd=self._home.project,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(self._home.source), inherited]))},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # native libraries print what they find in a header
                stderr=subprocess.DEVNULL,
            )
        self._connection = Connection(ours.detach())
        if self._receive(self._connection, _START_SECONDS) != self._home.code:
            raise UserError(
                "a worker process runs other code or other packages than this project: start the Dask workers in this "
                "folder, from an environment that 'make install' made"
            )
        return self._connection

    def _send(self, connection: Connection, message: object) -> None:
        try:
            connection.send(message)
        except OSError:
            raise Ended(Reason.DECODER_CRASHED) from None

    def _receive(self, connection: Connection, seconds: float | None) -> Any:
        try:
            if not connection.poll(seconds):
                raise Ended(Reason.DECODE_TIMEOUT)
            return connection.recv()
        except (EOFError, OSError):
            raise Ended(Reason.DECODER_CRASHED) from None

    def _stop(self) -> None:
        process, connection, self._process, self._connection = self._process, self._connection, None, None
        if process:
            process.kill()
            process.wait()
        if connection:
            connection.close()


_idle: dict[Home, list[Supervisor]] = {}
_all: list[Supervisor] = []
_lock = threading.Lock()


def run(chunk: Chunk) -> None:
    """Work on a chunk in a supervised process, kept for the next one. Raises what :meth:`Supervisor.run` raises."""
    with _lock:
        idle = _idle.setdefault(chunk.home, [])
        supervisor = idle.pop() if idle else Supervisor(chunk.home)
        if supervisor not in _all:
            _all.append(supervisor)
    supervisor.run(chunk)
    with _lock:
        _idle.setdefault(chunk.home, []).append(supervisor)


def close_all() -> None:
    """End every process of this one."""
    with _lock:
        for supervisor in _all:
            supervisor.close()
        _all.clear()
        _idle.clear()
