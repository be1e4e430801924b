"""A recipe's model in MLflow: the very files of models/<recipe>/, and what is needed to use them."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModelOutput
from mlflow.models import Model
from safetensors import safe_open

from pipeline.serving import packing
from pipeline.serving.spec import Spec
from pipeline.tracking import names, workspace
from stages.artifacts import card, model

_CARD = "card"
"""Folder of the model's artifacts that holds what is known of it, beside the files of models/<recipe>/."""

FILE_TAG = "file.sha256."
"""Begins the tags that hold the hash of each file of a logged model."""

PACKED = "packed.sha256"
"""Tag of a logged model: :func:`pipeline.serving.packing.digest` of what came with the weights."""


def log(client: MlflowClient, experiment: str, run: str, recipe: str, tags: Mapping[str, str], spec: Spec) -> str:
    """Log the model with its weights as they are, byte for byte, packed to be used, and its card; its id."""
    with safe_open(model.weights_path(recipe), framework="np") as file:
        header: dict[str, str] = file.metadata() or {}
    logged = client.create_logged_model(
        experiment, recipe, run, tags=dict(tags), params=header, model_type="classifier"
    )
    about = Model(run_id=run, model_uuid=logged.model_id, model_id=logged.model_id, metadata=header)
    about.add_flavor("safetensors", data=model.weights_path(recipe).name)
    client.log_model_artifacts(logged.model_id, str(model.directory(recipe)))
    for path in (card.path(recipe), card.markdown_path(recipe)):
        client.log_model_artifact(logged.model_id, str(path), _CARD)
    with tempfile.TemporaryDirectory() as folder:
        packed = packing.pack(Path(folder), about, spec, tuple(json.loads(header["classes"])))
        about.save(str(Path(folder) / "MLmodel"))
        client.log_model_artifacts(logged.model_id, folder)
    client.set_logged_model_tags(logged.model_id, hashes(folder_of(client, logged.model_id)) | {PACKED: packed})
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run, [LoggedModelOutput(logged.model_id, step=0)])
    return logged.model_id


def folder_of(client: MlflowClient, model_id: str) -> Path:
    """The files that MLflow holds of a logged model, downloaded where the store is elsewhere."""
    return Path(download_artifacts(artifact_uri=client.get_logged_model(model_id).artifact_location))


def hashes(folder: Path) -> dict[str, str]:
    """A tag for each file in ``folder``: read back from MLflow, so that they say what it holds, not what was sent."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    named = {path.relative_to(folder).as_posix(): path for path in files}
    return {names.clean(f"{FILE_TAG}{name}"): workspace.sha256(path) for name, path in named.items()}
