"""`radrepro ui` starts MLflow and Prefect, and leaves nothing behind however it ends."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from pipeline import servers
from pipeline.tracking import store
from stages.runtime import UserError

DEADLINE = 170.0  # seconds; only a hang takes as long


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _ui(mlflow: int, prefect: int) -> Iterator["subprocess.Popen[str]"]:
    """`radrepro ui` on these ports, in a session of its own as a terminal gives it; what is left of it is ended."""
    command = ["radrepro", "ui", "--mlflow-port", str(mlflow), "--prefect-port", str(prefect)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    tree: list[psutil.Process] = []
    try:
        yield process
    finally:
        if process.poll() is None:
            tree = psutil.Process(process.pid).children(recursive=True)
        for left in (process, *tree):
            try:
                left.kill()
            except psutil.NoSuchProcess:
                continue
        process.communicate()


def _ready(process: "subprocess.Popen[str]") -> list[str]:
    """Its lines up to the one that says how to stop it."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if line.startswith("Ctrl-C"):
            return lines
    assert process.stderr is not None
    pytest.fail(f"it ended before it was ready:\n{process.stderr.read()}")


def _get(address: str) -> str:
    with urllib.request.urlopen(address, timeout=30) as answer:
        return answer.read().decode()


def _wait_until_gone(tree: list[psutil.Process]) -> None:
    deadline = time.monotonic() + DEADLINE
    while alive := [one for one in tree if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]:
        if time.monotonic() > deadline:
            for one in alive:
                one.kill()
            pytest.fail(f"left behind: {alive}")
        time.sleep(0.1)


def _refuses(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _last_run(where: str) -> None:
    last = {"store": where, "path": "/#/experiments/1/runs/abc", "run": "abc", "version": "radrepro/1"}
    Path(".radrepro/last_run.json").write_text(json.dumps(last))


@pytest.fixture(scope="module")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Prefect makes its database once for this module."""
    return str(tmp_path_factory.mktemp("prefect"))


@pytest.mark.slow
@pytest.mark.parametrize(("number", "exits"), [(signal.SIGINT, 0), (signal.SIGKILL, -signal.SIGKILL)])
def test_both_pages_answer_and_end_with_the_command(
    project: Path, prefect_home: str, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, exits: int
) -> None:
    monkeypatch.setenv("PREFECT_HOME", prefect_home)
    _last_run("mlflow.db")
    mlflow, prefect = _free_port(), _free_port()
    with _ui(mlflow, prefect) as process:
        said = _ready(process)
        assert f"MLflow   http://127.0.0.1:{mlflow}/#/experiments/1/runs/abc" in said
        assert f"Prefect  http://127.0.0.1:{prefect}" in said
        assert _get(f"http://127.0.0.1:{mlflow}/health") == "OK"
        assert _get(f"http://127.0.0.1:{prefect}/api/health") == "true"

        tree = psutil.Process(process.pid).children(recursive=True)
        listening = {
            (at.laddr.ip, at.laddr.port) for one in tree for at in one.net_connections() if at.status == "LISTEN"
        }
        assert {port for _, port in listening} >= {mlflow, prefect}
        assert {ip for ip, port in listening if port in {mlflow, prefect}} == {"127.0.0.1"}, "this machine alone"

        process.send_signal(number)
        out, err = process.communicate(timeout=DEADLINE)
        _wait_until_gone(tree)
    assert process.returncode == exits
    assert "Traceback" not in out + err
    assert (out == "stopped\n") == (number == signal.SIGINT)
    assert _refuses(mlflow)
    assert _refuses(prefect)


@pytest.mark.parametrize("taken", ["mlflow", "prefect"])
def test_a_port_in_use_is_one_line_and_starts_nothing(project: Path, taken: str) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        ports = {"mlflow": _free_port(), "prefect": _free_port()} | {taken: port}
        with _ui(**ports) as process:
            _, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1
    assert err == f"radrepro: error: port {port} is in use: choose another with --{taken}-port\n"
    assert not Path(".radrepro/logs").exists()


def test_a_server_that_ends_by_itself_is_one_line_that_names_its_log(project: Path) -> None:
    server = servers.Server("MLflow", "", ["python", "-c", "print('no such table')"], {}, "http://127.0.0.1:9", 0)
    with pytest.raises(UserError, match=r"MLflow ended by itself: \.radrepro/logs/mlflow\.log says why"):
        servers.serve([server], lambda: pytest.fail("it never was ready"))
    assert Path(".radrepro/logs/mlflow.log").read_text() == "no such table\n"


def test_a_server_that_fails_takes_the_others_with_it(project: Path) -> None:
    port = _free_port()
    pages = ["python", "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    good = servers.Server("Prefect", "", pages, {}, f"http://127.0.0.1:{port}/", port)
    bad = servers.Server("MLflow", "", ["python", "-c", "raise SystemExit(3)"], {}, "http://127.0.0.1:9", 0)
    with pytest.raises(UserError, match="MLflow ended by itself"):
        servers.serve([good, bad], lambda: None)
    assert _refuses(port)


def test_mlflow_and_prefect_that_run_elsewhere_are_not_started_here(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://someone:secret@mlflow.example.org/")
    monkeypatch.setenv("PREFECT_API_URL", "https://prefect.example.org/api")
    mlflow, prefect = servers.mlflow(5000), servers.prefect(4200)
    assert (mlflow.command, mlflow.address) == ([], "https://mlflow.example.org"), "without the password"
    assert (prefect.command, prefect.address) == ([], "https://prefect.example.org")


def test_with_servers_elsewhere_the_command_only_tells_where_they_are(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    _last_run("mlflow.db")
    with _ui(_free_port(), _free_port()) as process:
        process_tree = psutil.Process(process.pid)
        said = _ready(process)
        assert not process_tree.children()
        assert "MLflow   http://127.0.0.1:9" in said, "a run that was tracked elsewhere has no page there"
        assert "Prefect  http://127.0.0.1:9" in said
        assert not Path(".radrepro/logs").exists()


def test_without_a_server_elsewhere_mlflow_serves_the_projects_own_database(project: Path) -> None:
    server = servers.mlflow(5000)
    at = server.command.index("--backend-store-uri")
    assert server.command[at + 1] == f"sqlite:///{project}/{store.DATABASE}"
    assert server.command[server.command.index("--host") + 1] == "127.0.0.1"
