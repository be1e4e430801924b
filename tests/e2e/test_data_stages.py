"""The data stages give the same bytes with one process, with several, on a Dask cluster, and after they were killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from distributed import LocalCluster
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from tests.conftest import ROOT
from tests.dicom_files import chest, make_dicom

SYNTAXES = [JPEGLSLossless, JPEG2000Lossless, RLELossless]
PARAMETERS = """
ingest: {key_file: k.key}
preprocess: {size: 32}
features: {weights: random}
weights: {random: {source: random, architecture: mobilenet_v3_small}}
seed: 1
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as started:
        yield started.scheduler_address


@pytest.fixture
def project(workspace: Path) -> Path:
    (workspace / "params.yaml").write_text(PARAMETERS)
    (workspace / "k.key").write_bytes(b"s" * 64)
    raw = workspace / "data/raw/here"
    for number in range(120):
        make_dicom(raw / f"s{number % 7}" / f"IM{number}", chest(number), transfer_syntax=SYNTAXES[number % 3])
    (raw / "note.txt").write_text("nothing")
    broken = bytearray((raw / "s0/IM0").read_bytes())
    broken[-600:-100] = b"\xff\xd8" * 250
    (raw / "s0/broken").write_bytes(broken.replace(b"IM0", b"BR0"))
    stage("weights", "random", {})
    return workspace


def start(name: str, item: str, environment: dict[str, str]) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, "-m", f"stages.{name}", item]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def stage(name: str, item: str, environment: dict[str, str]) -> str:
    """Run it, and give what it logged."""
    with start(name, item, environment) as process:
        _, log = process.communicate()
    assert process.returncode == 0, log
    return log


def outputs(project: Path, environment: dict[str, str]) -> dict[str, bytes]:
    for name in ("ingest", "preprocess", "features"):
        stage(name, "here", environment)
    made = {
        str(path.relative_to(project)): path.read_bytes()
        for folder in ("index", "quarantine", "restricted", "images", "features")
        for path in sorted((project / "data" / folder).rglob("*"))
        if path.is_file()
    }
    assert len(made) == 7
    return made


@pytest.mark.long
def test_the_same_bytes_wherever_the_work_is_done(project: Path, cluster: str) -> None:
    alone = outputs(project, {"RADREPRO_WORKERS": "1"})
    several = outputs(project, {"RADREPRO_WORKERS": "3"})
    elsewhere = outputs(project, {"RADREPRO_DASK": cluster})

    assert several == alone
    assert elsewhere == alone


@pytest.mark.slow
def test_a_stage_that_was_killed_goes_on_from_its_finished_chunks(project: Path) -> None:
    for number in range(64):
        make_dicom(project / "data/raw/large" / f"{number}", chest(number, 500, 500), transfer_syntax=JPEG2000Lossless)
    one = {"RADREPRO_WORKERS": "1"}
    stage("ingest", "large", one)
    work = project / ".radrepro/work/preprocess@large"

    with start("preprocess", "large", one) as process:
        while len([path for path in work.glob("*") if not path.name.startswith(".")]) < 2:
            assert process.poll() is None
            time.sleep(0.01)
        workers = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGKILL)
    assert not (project / "data/images/large").exists()
    log = stage("preprocess", "large", one)

    assert "finished chunks of an earlier run" in log
    assert not work.exists()
    resumed = {path.name: path.read_bytes() for path in (project / "data/images/large").iterdir()}
    stage("preprocess", "large", one)
    assert resumed == {path.name: path.read_bytes() for path in (project / "data/images/large").iterdir()}
    assert len(workers) == 1
    assert not workers[0].is_running()
