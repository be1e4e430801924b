"""A version of a registered model, found and fetched."""

import re
from pathlib import Path
from typing import NamedTuple

from mlflow import MlflowClient, artifacts
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from pipeline.serving.spec import NAME
from stages.runtime import UserError

_MODEL = re.compile(r"([^/@:]+)(?:/(\d+)|@([^/@]+))?")
_CHAMPION = "champion"
_ABSENT = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}  # of a name, and of an alias


class Fetched(NamedTuple):
    """A model's folder, and what it is: ``radrepro/3``."""

    folder: Path
    label: str


def find(client: MlflowClient, model: str) -> ModelVersion:
    """The version that ``model`` names: ``radrepro/3``, ``radrepro@challenger``, or ``radrepro``.

    The last is its champion, or where no version has that alias, its newest.

    Raises
    ------
    UserError
        If there is none.
    """
    parts = _MODEL.fullmatch(model.removeprefix("models:/"))
    if not parts:
        raise UserError(f"'{model}' is no model: name it as radrepro, radrepro/3 or radrepro@champion")
    name, number, alias = parts.groups()
    try:
        if number:
            return client.get_model_version(name, number)
        if alias:
            return client.get_model_version_by_alias(name, alias)
        if _CHAMPION in client.get_registered_model(name).aliases:
            return client.get_model_version_by_alias(name, _CHAMPION)
        newest = client.search_model_versions(f"name = '{name}'", order_by=["version_number DESC"], max_results=1)
        if newest:
            return newest[0]
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise
    raise UserError(f"MLflow's registry has no model '{model}': 'radrepro results' names the last one registered")


def fetch(client: MlflowClient, model: str, into: Path) -> Fetched:
    """Copy the version's files into the folder ``into``. Raises :class:`UserError` if it is not one to be asked."""
    version = find(client, model)
    label = f"{version.name}/{version.version}"
    folder = Path(artifacts.download_artifacts(artifact_uri=f"models:/{label}", dst_path=str(into)))
    if not (folder / NAME).is_file():
        raise UserError(
            f"{label} was registered by a version of radrepro that did not pack models to be used: 'dvc repro' with "
            "this one registers it anew"
        )
    return Fetched(folder, label)
