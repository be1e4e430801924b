"""What MLflow holds of one model version, read whole: the registry's entry, its runs, its files."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from pipeline import history, lineage
from pipeline.lineage import Chain
from pipeline.tracking import registry, store
from stages import params
from stages.artifacts import evaluation
from stages.runtime import UserError
from stages.track_params import TrackParams

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CURVES = "curves/"
"""Begins the names of metrics that have a step per epoch."""

LINEAGE = "lineage"
"""The folder of a run's artifacts that holds the locks."""


@dataclass(frozen=True)
class Run:
    """One run: what was logged, and its artifacts as files on this machine."""

    id: str
    status: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    curves: Mapping[str, Sequence[tuple[int, float]]]
    """By name: every step and its value, in order."""
    datasets: Mapping[str, tuple[str, dict[str, Any]]]
    """By name: digest, and profile."""
    files: Path

    def text(self, path: str) -> str:
        """An artifact; "" if there is none."""
        file = self.files / path
        return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""


@dataclass(frozen=True)
class Record:
    """One model version."""

    name: str
    version: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    description: str
    run: Run
    """Of the pipeline."""
    recipe: Run | None
    """The child in which the model was logged; None if MLflow has it no longer."""
    model_tags: Mapping[str, str]
    model_files: Path

    @property
    def label(self) -> str:
        """As the registry addresses it."""
        return f"{self.name}/{self.version}"

    @property
    def commit(self) -> str:
        """The code that ran; "" where it was in no git."""
        said = self.run.tags.get("code.commit", "")
        return "" if " " in said else said

    @property
    def patch(self) -> str:
        """What upon it."""
        return self.run.text("git/changes.patch")

    def evaluation(self, recipe: str) -> dict[str, Any]:
        """How the model was judged; empty if MLflow has no sound copy of it, as 'verify' says."""
        try:
            found = json.loads(self.recipe.text(evaluation.path(recipe).name) if self.recipe else "{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def locks(self) -> dict[str, str]:
        """The lock and ``.dvc`` files as they were, by path."""
        folder = self.run.files / LINEAGE
        found = (path for path in sorted(folder.rglob("*")) if path.suffix in {".lock", ".dvc"} and path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_text("utf-8", "replace") for path in found}

    def told(self) -> Chain:
        """The whole chain as lineage.json tells it. Raises :class:`UserError` if that is missing or damaged."""
        text = self.run.text(f"{LINEAGE}/lineage.json")
        try:
            return lineage.from_json(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UserError(f"{LINEAGE}/lineage.json of run {self.run.id} is missing or damaged") from None

    def from_locks(self, listing: lineage.Listing = lambda _: None) -> Chain:
        """The whole chain, joined anew from the locks. Raises :class:`UserError` if a lock is missing or damaged."""
        locks = self.locks()
        stages = {stage.name: stage for path, text in locks.items() for stage in history.stages_in(path, text)}
        try:  # a lock keeps entries of stages that were no longer part of the pipeline
            names = {stage.name for stage in self.told().stages}
        except UserError:
            names = set(stages)
        missing = {history.lock_of(name) for name in names} - set(locks)
        if missing or not locks:
            raise UserError(f"run {self.run.id} has no {', '.join(sorted(missing)) or 'lock'} among its artifacts")
        known = min(names, set(stages))
        return lineage.chain([stage for name, stage in stages.items() if name in known], listing)

    def own(self, whole: Chain) -> Chain:
        """Of the ``whole`` chain what this version rests on, down from its evaluation.

        Raises
        ------
        UserError
            If no stage of the chain evaluated the recipe that MLflow names.
        """
        named = [self.tags.get("best.recipe"), self.recipe.tags.get("recipe") if self.recipe else None]
        made = {out.path for stage in whole.stages for out in stage.outputs}
        for name in named:
            if name and str(evaluation.path(name)) in made:
                return whole.upstream(whole.maker(str(evaluation.path(name))).name)
        raise UserError(f"{self.label}: no stage of its chain evaluated the recipe that MLflow names ({named[0]})")


def recipe_of(own: Chain) -> str:
    """The recipe that a version's own chain ends in."""
    return own.stages[-1].label.partition("@")[2]


@contextmanager
def opened(spec: str) -> Iterator[Record]:
    """Read the version that ``spec`` names: ``model``, ``model@alias``, ``model/version``, or "" for the project's own.

    A name alone means the champion where there is one, and else the newest version.

    Raises
    ------
    UserError
        If there is no such model or version, MLflow does not answer, or the run is gone.
    """
    with several([spec]) as (record,):
        yield record


@contextmanager
def several(specs: list[str]) -> Iterator[list[Record]]:
    """As :func:`opened`, of some versions at once."""
    with TemporaryDirectory() as folder, connected() as client:
        own = params.read("track", TrackParams).model if "" in specs else ""
        versions = [registry.find_named(client, spec or own) for spec in specs]
        yield [_read(client, version, Path(folder) / str(at)) for at, version in enumerate(versions)]


@contextmanager
def connected() -> Iterator["MlflowClient"]:
    """Talk to MLflow where it is. Raises :class:`UserError` if nothing is there: it is not made to be read."""
    address = store.uri()
    if address.startswith("sqlite:///") and not Path(address.removeprefix("sqlite:///")).exists():
        raise UserError(
            f"{store.shown(address)} is not here, and no model registered: run 'dvc repro', or set MLFLOW_TRACKING_URI"
        )
    with store.connected() as client:
        yield client


def _read(client: "MlflowClient", found: "ModelVersion", folder: Path) -> Record:
    if not found.run_id:
        raise UserError(f"{found.name}/{found.version} was registered without a source run: radrepro did not make it")
    version = client.get_model_version(found.name, found.version)  # a search gives no aliases
    source = version.source or ""
    if not source.startswith("models:/"):
        raise UserError(f"{version.name}/{version.version} is no logged model: radrepro did not make it")
    logged = client.get_logged_model(source.removeprefix("models:/"))
    from mlflow.artifacts import download_artifacts  # noqa: PLC0415 - as above

    return Record(
        name=version.name,
        version=str(version.version),
        aliases=tuple(version.aliases),
        tags=dict(version.tags),
        description=version.description or "",
        run=_run(client, found.run_id, folder / "run"),
        recipe=_run(client, logged.source_run_id, folder / "recipe") if logged.source_run_id else None,
        model_tags=dict(logged.tags),
        model_files=_folder(download_artifacts, logged.artifact_location, folder / "model"),
    )


def _run(client: "MlflowClient", identifier: str, folder: Path) -> Run:
    from mlflow.artifacts import download_artifacts  # noqa: PLC0415 - as above

    found = client.get_run(identifier)
    inputs = found.inputs.dataset_inputs if found.inputs else []
    return Run(
        id=identifier,
        status=found.info.status,
        tags=dict(found.data.tags),
        params=dict(found.data.params),
        metrics=dict(found.data.metrics),
        curves={
            key: sorted((point.step, point.value) for point in client.get_metric_history(identifier, key))
            for key in found.data.metrics
            if key.startswith(CURVES)
        },
        datasets={one.dataset.name: (one.dataset.digest, json.loads(one.dataset.profile or "{}")) for one in inputs},
        files=_folder(download_artifacts, found.info.artifact_uri, folder),
    )


def _folder(download: Any, address: str, folder: Path) -> Path:
    """The files at an address: where they lie on this machine, and else a copy in ``folder``."""
    parts = urlsplit(address)
    if parts.scheme in {"", "file"}:
        return Path(unquote(parts.path))  # a folder that is gone is for the checks to find
    folder.mkdir(parents=True, exist_ok=True)
    return Path(download(artifact_uri=address, dst_path=str(folder)))
