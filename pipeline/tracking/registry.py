"""The model registry: the best recipe's model as a version that shows its chain."""

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from pipeline import history, lineage
from pipeline.tracking import describe, names, store
from stages.artifacts import evaluation, model
from stages.runtime import UserError

SEALED = "code.sealed"
"""The tag that names the commit which holds the chain's lock."""

_MOST = 1000  # versions looked at

log = logging.getLogger("radrepro")

ABOUT = """\
Each version is the recipe that validation chose in one run of the pipeline. Its tags hold the hash of every file that
made it (`dvc.dep.*`, `dvc.out.*`), its description the chain as a table; the source run holds the lock files whole.

*Research software, not a medical device.*
"""

CHAMPION = "champion"

_MODEL = re.compile(r"([^/@:]+)(?:/(\d+)|@([^/@]+))?")
_ABSENT = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}  # of a name, and of an alias


def find_named(client: MlflowClient, model: str) -> ModelVersion:
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
        if CHAMPION in client.get_registered_model(name).aliases:
            return client.get_model_version_by_alias(name, CHAMPION)
        newest = client.search_model_versions(f"name = '{name}'", order_by=["version_number DESC"], max_results=1)
        if newest:
            return newest[0]
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise
    known = ", ".join(sorted(known.name for known in client.search_registered_models(max_results=20)))
    raise UserError(
        f"MLflow's registry at {store.shown(store.uri())} has no model '{model}': give NAME, NAME@alias or "
        f"NAME/version; registered are: {known or 'none'}"
    )


def find(client: MlflowClient, name: str, sha256: str, chain: str) -> ModelVersion | None:
    """The version with this model's bytes and this chain, if it is registered already."""
    same = f"name = '{name}' and tags.`model.sha256` = '{sha256}' and tags.`chain.sha256` = '{chain}'"
    found = client.search_model_versions(same, max_results=1)
    return found[0] if found else None


def register(
    client: MlflowClient, name: str, logged: str, run: str, description: str, tags: Mapping[str, str]
) -> ModelVersion:
    """A new version of ``name`` from the model ``logged`` of ``run``."""
    try:
        client.create_registered_model(name, description=ABOUT)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    kept = description[: describe.VERSION_LIMIT]
    return client.create_model_version(
        name,
        source=f"models:/{logged}",
        run_id=run,
        tags={**tags, names.DESCRIPTION: hashlib.sha256(kept.encode()).hexdigest()},
        description=kept,
        model_id=logged,
    )


def seal(client: MlflowClient, name: str) -> None:
    """Name, on every version and its run that has none, the first commit which holds its chain in its lock files.

    That commit comes after the version: the lock is committed once it is written, and it is written by what logs it.
    """
    for version in client.search_model_versions(f"name = '{name}'", max_results=_MOST):
        if SEALED in version.tags or not version.run_id:
            continue
        try:
            path = client.download_artifacts(version.run_id, "lineage/lineage.json")
            whole = lineage.from_json(json.loads(Path(path).read_text(encoding="utf-8")))
        except (MlflowException, OSError, ValueError, KeyError, TypeError):
            log.warning("%s version %s: its lineage.json in MLflow is missing or damaged", name, version.version)
            continue
        recipe = version.tags.get("best.recipe", "")
        own = whole.upstream(whole.maker(str(evaluation.path(recipe))).name)
        if commit := history.sealed_by(own.stages, own.output(model.weights_path(recipe)).md5):
            client.set_model_version_tag(name, version.version, SEALED, commit)
            client.set_tag(version.run_id, SEALED, commit)
