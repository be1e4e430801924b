"""The model registry: the best recipe's model as a version that shows its chain."""

from collections.abc import Mapping

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from pipeline.tracking import describe

ABOUT = """\
Each version is the recipe that validation chose in one run of the pipeline. Its tags hold the hash of every file that
made it (`dvc.dep.*`, `dvc.out.*`), its description the chain as a table; the source run holds the lock files whole.

*Research software, not a medical device.*
"""


def find(client: MlflowClient, name: str, sha256: str, chain: str) -> ModelVersion | None:
    """The version with this model's bytes and this chain, if it is registered already."""
    same = f"name = '{name}' and tags.`model.sha256` = '{sha256}' and tags.`chain.sha256` = '{chain}'"
    found = client.search_model_versions(same, max_results=1)
    return found[0] if found else None


def register(
    client: MlflowClient, name: str, model: str, run: str, description: str, tags: Mapping[str, str]
) -> ModelVersion:
    """A new version of ``name`` from the logged model ``model`` of ``run``."""
    try:
        client.create_registered_model(name, description=ABOUT)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return client.create_model_version(
        name,
        source=f"models:/{model}",
        run_id=run,
        tags=dict(tags),
        description=description[: describe.VERSION_LIMIT],
        model_id=model,
    )
