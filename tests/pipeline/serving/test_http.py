"""`mlflow models serve`, asked by real requests."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.dicom_files import make_dicom
from tests.pipeline.serving.conftest import CLASSES, Registered

pytestmark = pytest.mark.long


@dataclass(frozen=True)
class Server:
    """A server of the model."""

    address: str
    log: Path

    def post(self, **given: object) -> requests.Response:
        return requests.post(f"{self.address}/invocations", timeout=120, **given)

    def ask(self, *files: bytes, **params: str) -> requests.Response:
        rows = [{"dicom": base64.b64encode(content).decode()} for content in files]
        return self.post(json={"dataframe_records": rows} | ({"params": params} if params else {}))


@pytest.fixture(scope="module")
def server(registered: Registered, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", "models:/tiny@champion"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # it starts uvicorn by its name
    log = folder / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=registered.environment(PATH=path),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        found = Server(f"http://127.0.0.1:{port}", log)
        try:
            _await(found, process)
            yield found
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _await(server: Server, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if requests.get(f"{server.address}/ping", timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.3)
    pytest.fail(f"the server did not start:\n{server.log.read_text()[-3000:]}")


@pytest.mark.parametrize("name", ["plain", "inverted", "jpeg_2000", "cine"])
def test_a_posted_file_is_answered_as_evaluate_would(registered: Registered, server: Server, name: str) -> None:
    answer = server.ask(registered.files[name].read_bytes())
    assert answer.status_code == 200, answer.text
    rows = answer.json()["predictions"]
    expected = registered.expected(registered.images(name))
    for row, probabilities in zip(rows, expected, strict=True):
        assert [row[f"probability:{each}"] for each in CLASSES] == pytest.approx(probabilities.tolist(), abs=1e-6)
        assert row["model"] == "tiny/1"


def test_the_example_that_mlflow_shows_is_answered(registered: Registered, server: Server) -> None:
    (path,) = registered.path.rglob("serving_input_example.json")
    answer = server.post(data=path.read_bytes(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 200, answer.text


def test_an_answer_is_json_without_nan(registered: Registered, server: Server) -> None:
    answer = server.ask(registered.files["plain"].read_bytes(), b"a letter", refused="report")
    assert answer.status_code == 200, answer.text

    def no_constant(name: str) -> None:
        pytest.fail(f"{name} is no JSON")

    good, refused = json.loads(answer.text, parse_constant=no_constant)["predictions"]
    assert good["refused"] is None
    assert refused["frame"] is None
    assert refused["refused"].startswith("NOT_DICOM")


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def test_bad_input_is_the_askers_fault_and_the_reason_is_told(
    registered: Registered, server: Server, tmp_path: Path
) -> None:
    good = registered.files["plain"].read_bytes()
    make_dicom(tmp_path / "mammogram", Modality="MG", BodyPartExamined="BREAST")
    make_dicom(tmp_path / "hand", BodyPartExamined="HAND")
    record = "dataframe_records"
    as_json = {"Content-Type": "application/json"}
    cases = [
        (server.ask(b"a letter"), 400, "row 0: NOT_DICOM"),
        (server.ask(good, _cut(good)), 400, "row 1: TRUNCATED"),
        (server.ask((tmp_path / "mammogram").read_bytes()), 400, "OUT_OF_DOMAIN (modality MG; trained on CR, DX, US)"),
        (server.ask((tmp_path / "hand").read_bytes()), 400, "OUT_OF_DOMAIN (body part HAND"),
        (server.ask(good, refused="maybe"), 400, "'raise' or 'report'"),
        (server.post(data="{", headers=as_json), 400, "valid JSON"),
        (server.post(data=good, headers={"Content-Type": "application/dicom"}), 415, "application/json"),
        (server.post(json={record: [{"dicom": 7}]}), 400, "dicom"),
        (server.post(json={record: [{"dicom": "%%%"}]}), 400, "NOT_DICOM"),
        (server.post(json={record: [{"path": str(registered.files["plain"])}]}), 400, "send their bytes"),
        (server.post(json={record: [{"other": "x"}]}), 400, "give one of the columns"),
        (server.post(json={record: []}), 400, "give one of the columns"),
        (server.post(json={record: [{"image": [[0, 256]]}]}), 400, "grey levels from 0 to 255"),
        (server.post(json={record: [{"image": [[0, 1], [2]]}]}), 400, "rows and columns"),
    ]
    for answer, status, reason in cases:
        assert answer.status_code == status, answer.text
        assert reason in answer.text
    assert server.ask(good).status_code == 200


def test_no_identity_reaches_the_servers_log(server: Server, tmp_path: Path) -> None:
    make_dicom(tmp_path / "a", BodyPartExamined="CHEST", PatientName="Canary^Person", PatientID="CANARY-1")
    make_dicom(tmp_path / "b", BodyPartExamined="HAND", PatientName="Canary^Person", PatientAge="CANARY-2")
    for name, status in (("a", 200), ("b", 400)):
        answer = server.ask((tmp_path / name).read_bytes())
        assert answer.status_code == status
        assert "canary" not in answer.text.lower()
    assert "canary" not in server.log.read_text().lower()
