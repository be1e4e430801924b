"""Two people, two clones: DVC on S3, MLflow on PostgreSQL; what one trains, the other pulls and verifies."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.pipeline.conftest import _enter, run

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

_PATIENCE_SECONDS = 300.0


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def _server(command: list[str], port: int, log: Path, env: Mapping[str, str] | None = None) -> Iterator[None]:
    with log.open("w") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env={**os.environ, **(env or {})})
    try:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an S3 server with a bucket `radrepro`."""
    if missing := [name for name in ("moto", "flask", "dvc_s3") if find_spec(name) is None]:
        pytest.skip(f"S3 needs {', '.join(missing)}: pip install 'moto[server]' dvc-s3")
    port = _free_port()
    log = tmp_path_factory.mktemp("s3") / "log"
    with _server([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port, log):
        address = f"http://127.0.0.1:{port}"
        urllib.request.urlopen(urllib.request.Request(f"{address}/radrepro", method="PUT"), timeout=60).close()
        yield address


def _postgres(name: str) -> str:
    found = shutil.which(name) or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), ""
    )
    if not found:
        pytest.skip(f"PostgreSQL's {name} is not installed: apt-get install postgresql")
    return found


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """The address of a database `mlflow` on a PostgreSQL server of our own."""
    if find_spec("psycopg2") is None:
        pytest.skip("MLflow on PostgreSQL needs psycopg2: pip install psycopg2-binary")
    initdb, postgres = _postgres("initdb"), _postgres("postgres")
    who = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}  # it refuses to run as root
    folder = Path("/tmp") / f"radrepro-pg-{os.getpid()}"  # a path short enough for a socket, which its user can reach
    folder.mkdir()
    if who:
        shutil.chown(folder, **who)
    port = _free_port()
    try:
        made = [initdb, "--pgdata", str(folder / "db"), "--username", "radrepro", "--auth", "trust", "--no-sync"]
        subprocess.run(made, check=True, capture_output=True, cwd=folder, **who)
        command = [postgres, "-D", str(folder / "db"), "-p", str(port), "-k", str(folder), "-c", "fsync=off"]
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **who)
        try:
            import psycopg2  # noqa: PLC0415 - only here, where it is known to be there

            deadline = time.monotonic() + _PATIENCE_SECONDS
            while True:
                try:
                    connection = psycopg2.connect(host="127.0.0.1", port=port, user="radrepro", dbname="postgres")
                    break
                except psycopg2.OperationalError:
                    assert process.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.2)
            connection.autocommit = True
            connection.cursor().execute("create database mlflow")
            connection.close()
            yield f"postgresql://radrepro@127.0.0.1:{port}/mlflow"
        finally:
            process.terminate()
            process.wait()
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def mlflow_server(postgresql: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an MLflow server on it, which keeps the artifacts too."""
    folder, port = tmp_path_factory.mktemp("mlflow"), _free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", postgresql, "--artifacts-destination", str(folder / "artifacts")]
    env = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with _server(command, port, folder / "log", env):
        yield f"http://127.0.0.1:{port}"


def test_what_one_person_trains_the_other_pulls_and_verifies(
    built: Path, bucket: str, mlflow_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("git", "init", "--quiet", "--bare", "--initial-branch=main", str(tmp_path / "shared.git"))
    first, second = tmp_path / "first", tmp_path / "second"
    shutil.copytree(built, first, symlinks=True)
    (first / "mlflow.db").unlink()
    _enter(first, monkeypatch)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    run("dvc", "remote", "add", "--default", "bucket", "s3://radrepro/project")
    run("dvc", "remote", "modify", "bucket", "endpointurl", bucket)
    run("dvc", "repro")
    run("git", "add", "--all")
    run("git", "commit", "--quiet", "--message", "results")
    run("git", "push", "--quiet", str(tmp_path / "shared.git"), "main")
    run("dvc", "push", "--quiet")

    run("git", "clone", "--quiet", str(tmp_path / "shared.git"), str(second))
    monkeypatch.chdir(second)
    before = _verify()
    absent = {one["name"]: one["detail"] for one in before["links"] if one["state"] == "ABSENT"}
    assert before["exit_status"] == 2
    assert absent["data/cohort.parquet"] == "the DVC remote 'bucket' has it: dvc pull"
    assert not [one for one in before["links"] if one["state"] == "BROKEN"]

    run("dvc", "pull", "--quiet", "--allow-missing")
    run("dvc", "repro", "check")  # its output is a sentence that is neither in git nor cached
    after = _verify()
    assert [one for one in after["links"] if one["state"] != "OK"] == []
    assert after["exit_status"] == 0

    path = second / "data/cohort.parquet"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert [one["name"] for one in _verify()["links"] if one["state"] == "BROKEN"] == ["data/cohort.parquet"]


def _verify() -> dict:
    done = subprocess.run(["radrepro", "verify", "radrepro", "--json"], capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)
