"""Training curves in MLflow while training runs: a courtesy, which costs training nothing and can fail without harm.

A thread of its own imports MLflow and talks to it, so that a server that is slow or gone holds nothing up. The lasting
record of a run is made from DVC's outputs, later, by ``track``.
"""

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

EXPERIMENT = "radrepro-live"
EMBEDDED = Path("mlflow.db")
METRICS = ("lr", "loss", "train_loss", "val_loss", "val_auroc")
"""What is sent of an epoch, as far as it is there."""

_LAST_WORDS_SECONDS = 10.0

log = logging.getLogger("radrepro")

OnEpoch = Callable[[Mapping[str, Any]], None]
"""Takes an epoch's numbers by name, ``epoch`` among them."""


@contextmanager
def live(name: str, params: Mapping[str, object], enabled: bool = True, kind: str = "recipe") -> Iterator[OnEpoch]:
    """What to call after every epoch; the run in MLflow ends FINISHED, or FAILED if the block raises.

    The run is called ``name`` and has a tag ``radrepro.<kind>`` that says so too.

    Goes to ``MLFLOW_TRACKING_URI``, or else to the embedded ``mlflow.db`` if there is one: to create it would cost the
    first training 10 s (``track`` and ``radrepro ui`` do). The experiment is ``MLFLOW_EXPERIMENT_NAME`` or
    :data:`EXPERIMENT`.
    """
    address = os.environ.get("MLFLOW_TRACKING_URI") or (f"sqlite:///{EMBEDDED}" if EMBEDDED.exists() else None)
    if not enabled or address is None:
        yield lambda _: None
        return
    words: SimpleQueue[Mapping[str, Any] | str] = SimpleQueue()
    thread = threading.Thread(target=_send, args=(address, name, kind, params, words), daemon=True)
    thread.start()
    status = "FAILED"
    try:
        yield words.put
        status = "FINISHED"
    finally:
        words.put(status)
        thread.join(_LAST_WORDS_SECONDS)
        if thread.is_alive():
            log.warning("MLflow did not take the last of the live curves in %.0f s: left there", _LAST_WORDS_SECONDS)


def _send(
    address: str, name: str, kind: str, params: Mapping[str, object], words: "SimpleQueue[Mapping[str, Any] | str]"
) -> None:
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        from mlflow.entities import Metric, Param  # noqa: PLC0415 - 2 s, in this thread only; optional
        from mlflow.tracking import MlflowClient  # noqa: PLC0415

        client = MlflowClient(address)
        title = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        experiment = client.get_experiment_by_name(title)
        identifier = experiment.experiment_id if experiment else client.create_experiment(title)
        run = client.create_run(identifier, run_name=name, tags={f"radrepro.{kind}": name})
        given = [Param(key, str(value)) for key, value in params.items()]
        client.log_batch(run.info.run_id, params=given)
        while not isinstance(word := words.get(), str):
            now = int(time.time() * 1000)
            told = {key: word[key] for key in METRICS if key in word and not math.isnan(word[key])}
            client.log_batch(run.info.run_id, [Metric(key, value, now, word["epoch"]) for key, value in told.items()])
        client.set_terminated(run.info.run_id, word)
    except Exception as error:  # noqa: BLE001 - whatever happens to a courtesy, training goes on, and this says so
        log.warning("no live curves: MLflow does not take them (%s); training goes on", type(error).__name__)
