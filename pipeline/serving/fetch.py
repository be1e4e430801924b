"""A version of a registered model, found and fetched."""

from pathlib import Path
from typing import NamedTuple

from mlflow import MlflowClient, artifacts

from pipeline.serving.spec import NAME
from pipeline.tracking import registry
from stages.runtime import UserError


class Fetched(NamedTuple):
    """A model's folder, and what it is: ``radrepro/3``."""

    folder: Path
    label: str


def fetch(client: MlflowClient, model: str, into: Path) -> Fetched:
    """Copy the version's files into the folder ``into``. Raises :class:`UserError` if it is not one to be asked."""
    version = registry.find_named(client, model)
    label = f"{version.name}/{version.version}"
    folder = Path(artifacts.download_artifacts(artifact_uri=f"models:/{label}", dst_path=str(into)))
    if not (folder / NAME).is_file():
        raise UserError(
            f"{label} was registered by a version of radrepro that did not pack models to be used: 'dvc repro' with "
            "this one registers it anew"
        )
    return Fetched(folder, label)
