"""MLflow's and Prefect's pages on this machine, and nowhere else."""

import os
import socket
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen

from pipeline import subprocesses
from pipeline.tracking import store
from stages.runtime import STATE, UserError

_HOST = "127.0.0.1"
_PATIENCE_SECONDS = 180.0


@dataclass(frozen=True)
class Server:
    """One page to open; with a command where it is ours to start."""

    name: str
    address: str
    command: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    health: str = ""
    port: int = 0

    @property
    def log(self) -> Path:
        """What it says."""
        return STATE / "logs" / f"{self.name.lower()}.log"


def mlflow(port: int) -> Server:
    """MLflow over the embedded database; where ``MLFLOW_TRACKING_URI`` names a server, only its address."""
    uri = store.uri()
    if store.is_server(uri):
        return Server("MLflow", store.shown(uri).rstrip("/"))
    arguments = ["server", "--host", _HOST, "--port", str(port), "--workers", "1", "--backend-store-uri", uri]
    arguments += ["--artifacts-destination", str(store.top() / store.ARTIFACTS)]
    command = subprocesses.guarded("from mlflow.cli import cli; cli()", "mlflow", *arguments)
    address = f"http://{_HOST}:{port}"
    return Server("MLflow", address, command, {}, f"{address}/health", port)


def prefect(port: int) -> Server:
    """Prefect over the database that flows use without a server too; with ``PREFECT_API_URL``, only its address."""
    if elsewhere := os.environ.get("PREFECT_API_URL"):
        return Server("Prefect", store.shown(elsewhere).removesuffix("/api"))
    arguments = ["server", "start", "--host", _HOST, "--port", str(port)]
    command = subprocesses.guarded("from prefect.cli import app; app()", "prefect", *arguments)
    address = f"http://{_HOST}:{port}"
    return Server(
        "Prefect", address, command, {"PREFECT_SERVER_UI_API_URL": f"{address}/api"}, f"{address}/api/health", port
    )


def serve(servers: Sequence[Server], when_ready: Callable[[], None]) -> None:
    """Start those that are ours, call ``when_ready``, and wait until Ctrl-C; then stop them all.

    Raises
    ------
    UserError
        If a port is in use, or a server ends by itself.
    """
    ours = [server for server in servers if server.command]
    for server in ours:
        _require_free(server)
    with ExitStack() as stack:
        processes = [(server, _start(server, stack)) for server in ours]
        for server, process in processes:
            _await(server, process)
        when_ready()
        while processes:
            for server, process in processes:
                _require_alive(server, process)
            time.sleep(0.5)


def _start(server: Server, stack: ExitStack) -> Popen[str]:
    server.log.parent.mkdir(parents=True, exist_ok=True)
    output = stack.enter_context(server.log.open("w", encoding="utf-8"))
    process = subprocesses.start(server.command, server.env, output)
    stack.callback(subprocesses.end, process)
    return process


def _await(server: Server, process: Popen[str]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        _require_alive(server, process)
        try:
            with urllib.request.urlopen(server.health, timeout=5):  # noqa: S310 - our own address
                return
        except OSError:  # not yet
            time.sleep(0.3)
    raise UserError(f"{server.name} did not start within {_PATIENCE_SECONDS:.0f} seconds: see {server.log}")


def _require_alive(server: Server, process: Popen[str]) -> None:
    if process.poll() is not None:
        raise UserError(f"{server.name} ended by itself: {server.log} says why")


def _require_free(server: Server) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, server.port))
        except OSError:
            option = f"--{server.name.lower()}-port"
            raise UserError(f"port {server.port} is in use: choose another with {option}") from None
