"""Where MLflow is: a SQLite file at the repository's top, or the server that ``MLFLOW_TRACKING_URI`` names."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit, urlunsplit

from filelock import FileLock

from stages.runtime import STATE, UserError

if TYPE_CHECKING:
    from mlflow import MlflowClient

DATABASE = Path("mlflow.db")
ARTIFACTS = Path("mlartifacts")
SILENT = "does not answer"
"""In the message of every failure that may pass by itself: what tries again looks for it."""

_FIRST_ANSWER = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
_LATER_ANSWERS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3"}
_PASSING = ("failed with exception", "error code 502", "error code 503", "error code 504", "Max retries exceeded")
_OUT_OF_DATE = "out-of-date database schema"

log = logging.getLogger("radrepro")


def top() -> Path:
    """The repository's top; for `dvc exp run --temp` and queued experiments, which run in a copy, the original's."""
    here = Path.cwd()
    parts = here.parts
    for at in range(len(parts) - 2):
        if parts[at : at + 3] == (".dvc", "tmp", "exps"):
            return Path(*parts[:at])
    return here


def uri() -> str:
    """The address for MLflow's client."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{top() / DATABASE}"


def is_server(address: str) -> bool:
    """Whether someone else runs it."""
    return address.startswith(("http://", "https://"))


def shown(address: str) -> str:
    """The address as it may be printed: without a password, and short for the embedded database."""
    if address == f"sqlite:///{top() / DATABASE}":
        return str(DATABASE)
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


@contextmanager
def connected() -> Iterator["MlflowClient"]:
    """A client of an MLflow that has answered once; the embedded database is made or brought up to date first.

    Raises
    ------
    UserError
        If MLflow cannot be reached, refuses, or stops answering within the block; within seconds, not minutes.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # they read their own files, in no time

    import requests  # noqa: PLC0415
    from mlflow.exceptions import MlflowException  # noqa: PLC0415
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    for name, level in (("mlflow", "WARNING"), ("alembic", "WARNING"), ("urllib3", "ERROR")):
        logging.getLogger(name).setLevel(level)
    address = uri()
    try:
        with _addressed(address):
            with _environment(_FIRST_ANSWER):
                client = _first_answer(address)
            with _environment(_LATER_ANSWERS):
                yield client
    except (MlflowException, requests.RequestException, SQLAlchemyError) as error:
        raise UserError(_explain(address, error)) from error


def experiment(client: "MlflowClient", name: str) -> str:
    """The id of the experiment of this name, made if need be."""
    found = client.get_experiment_by_name(name)
    folder = top() / ARTIFACTS / quote(name, safe="")
    embedded = uri().startswith("sqlite:")
    if found is None:
        tags = {"mlflow.experimentKind": "custom_model_development"}  # else its page opens for language models
        return str(client.create_experiment(name, folder.as_uri() if embedded else None, tags))
    if found.lifecycle_stage != "active":
        raise UserError(f"MLflow's experiment '{name}' is deleted: restore it there, or change track.experiment")
    if embedded and found.artifact_location != folder.as_uri():
        raise UserError(
            f"{DATABASE} was made in another folder and keeps its files there: move this folder back, or rename "
            f"{DATABASE} and run again to begin a new one"
        )
    return str(found.experiment_id)


def _first_answer(address: str) -> "MlflowClient":
    if not address.startswith("sqlite:"):
        return _answering()
    # Two processes that make the same database at once: one dies. Made whole under a lock, then used freely.
    lock = STATE / "locks" / "mlflow.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        if not Path(address.removeprefix("sqlite:///")).exists():
            log.info("making %s, once, in about ten seconds", shown(address))
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - as above

        try:
            return _answering()
        except MlflowException as error:
            if _OUT_OF_DATE not in str(error):
                raise
        from mlflow.db import upgrade  # noqa: PLC0415 - the command `mlflow db upgrade`

        log.info("bringing %s up to this version of MLflow", shown(address))
        upgrade.main([address], standalone_mode=False)
        return _answering()


def _answering() -> "MlflowClient":
    from mlflow import MlflowClient  # noqa: PLC0415 - as above

    client = MlflowClient()
    client.search_experiments(max_results=1)
    return client


@contextmanager
def _addressed(address: str) -> Iterator[None]:
    """MLflow's address, as long as the block: it also sets the environment, where whatever is started next finds it."""
    import mlflow  # noqa: PLC0415 - 2 s; only what talks to MLflow pays for it

    before = {name: os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")}
    mlflow.set_tracking_uri(address)
    mlflow.set_registry_uri(before["MLFLOW_REGISTRY_URI"] or address)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]  # as if it had never been set
        mlflow.set_registry_uri(None)  # type: ignore[arg-type]
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextmanager
def _environment(changes: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update({name: os.environ.get(name, value) for name, value in changes.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]


def _explain(address: str, error: Exception) -> str:
    said = " ".join(str(error).split()).replace(address, shown(address))
    if is_server(address) and any(sign in said for sign in _PASSING):
        return (
            f"MLflow at {shown(address)} {SILENT}: start it, or correct MLFLOW_TRACKING_URI, then run the same "
            "command again, which repeats this step only"
        )
    return f"MLflow at {shown(address)} refuses ({said[:300]}): mend that, then run the same command again"
