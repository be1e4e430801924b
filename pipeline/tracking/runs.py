"""Runs in MLflow: opened, filled in few requests, and closed whatever happens."""

import logging
import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import psutil
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_USER

from pipeline.tracking import names, store, workspace

_BATCH = 100  # params or tags in one request: MLflow's limit
_METRICS_BATCH = 1000
_PROCESS_TAG = "radrepro.process"

ARTIFACT_TAG = "artifact.sha256."
"""Begins the tags that hold the hash of each artifact of a run: `radrepro verify` compares."""

log = logging.getLogger("radrepro")


@contextmanager
def run(
    client: MlflowClient, experiment: str, name: str, tags: Mapping[str, str], parent: str | None = None
) -> Iterator[str]:
    """A run's id; the run ends FINISHED, FAILED if the block raises, or KILLED if it is interrupted."""
    whose = {_PROCESS_TAG: _this_process(), MLFLOW_USER: user(), **({MLFLOW_PARENT_RUN_ID: parent} if parent else {})}
    identifier = client.create_run(experiment, run_name=name, tags=whose).info.run_id
    status = "FAILED"
    try:
        record(client, identifier, tags=tags)
        yield identifier
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        client.set_terminated(identifier, status)


def record(
    client: MlflowClient,
    run: str,
    params: Mapping[str, str] | None = None,
    metrics: list[Metric] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Log all of it in as few requests as MLflow's limits allow."""
    given = [Param(key, value) for key, value in (params or {}).items()]
    marked = [RunTag(key, value) for key, value in (tags or {}).items()]
    for start in range(0, max(len(given), len(marked)), _BATCH):
        client.log_batch(run, params=given[start : start + _BATCH], tags=marked[start : start + _BATCH])
    for start in range(0, len(metrics or []), _METRICS_BATCH):
        client.log_batch(run, metrics=(metrics or [])[start : start + _METRICS_BATCH])


def metrics(
    values: Mapping[str, float], step: int = 0, run: str | None = None, model: str | None = None
) -> list[Metric]:
    """Numbers as MLflow's metrics of now; with ``model``, they are that logged model's too."""
    now = int(time.time() * 1000)
    return [Metric(name, value, now, step, model_id=model, run_id=run) for name, value in values.items()]


def upload(client: MlflowClient, run: str, files: Mapping[Path, str]) -> None:
    """Log files, each into a folder of the run's artifacts ("" for the top), and the hash of each as a tag."""
    hashes = {}
    for path, folder in files.items():
        client.log_artifact(run, str(path), folder or None)
        name = (PurePosixPath(folder) / path.name).as_posix()
        hashes[names.clean(f"{ARTIFACT_TAG}{name}")] = workspace.sha256(path)
    record(client, run, tags=hashes)


def reconcile(client: MlflowClient, experiment: str) -> int:
    """Mark as KILLED the runs that a dead process of ours left RUNNING, and say how many.

    A run carries its process: the machine, the number and the start time. On a shared server the runs of other machines
    are left alone; a SQLite file is used from one machine, whatever that was called before.
    """
    mine = f"tags.`{_PROCESS_TAG}` != '' and attributes.status = 'RUNNING'"
    dead = [
        found.info.run_id
        for found in client.search_runs([experiment], mine, max_results=1000)
        if _is_dead(found.data.tags[_PROCESS_TAG])
    ]
    for run in dead:
        client.set_terminated(run, "KILLED")
    return len(dead)


def _this_process() -> str:
    return f"{platform.node()}/{os.getpid()}/{psutil.Process().create_time():.0f}"


def _is_dead(process: str) -> bool:
    machine, number, started = process.rsplit("/", 2)
    if machine != platform.node():
        return not store.is_server(store.uri())
    try:
        return f"{psutil.Process(int(number)).create_time():.0f}" != started
    except psutil.NoSuchProcess:
        return True


def user() -> str:
    """Who runs this process, as the machine calls them."""
    return psutil.Process().username()
