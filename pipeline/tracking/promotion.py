"""Which version has an alias, since when, by whom and why: tags of the versions that had it."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from mlflow import MlflowClient

from pipeline.tracking import registry, runs
from stages.runtime import UserError

PROMOTED, DEMOTED = "promoted", "demoted"
"""Begin the tags: ``promoted.<alias>.why``, ``.by``, ``.at`` (UTC)."""

_ALIAS = re.compile(r"(?!latest$|v\d+$)[A-Za-z][\w\-]*", re.ASCII)  # MLflow keeps these two for itself
_TAG = re.compile(rf"({PROMOTED}|{DEMOTED})\.(.+)\.(why|by|at)")


def promote(client: MlflowClient, model: str, alias: str, why: str) -> str:
    """Give ``alias`` to the version that ``model`` names, and say why on it and on the one that had it; what was done.

    Raises
    ------
    UserError
        If there is no such version, the version has been promoted to ``alias`` already, or ``alias`` or ``why`` is no
        name or no reason.
    """
    if not _ALIAS.fullmatch(alias):
        raise UserError(f"'{alias}' cannot be an alias: letters, digits, - and _, as in 'champion', and not 'latest'")
    if not why.strip():
        raise UserError("say why: --why 'better on the June batch, p = 0.01'")
    version = registry.find_named(client, model)
    name, number = version.name, str(version.version)
    holder = client.get_registered_model(name).aliases.get(alias)
    before = None if holder is None else str(holder)
    if before == number and f"{PROMOTED}.{alias}.at" in version.tags:
        raise UserError(f"{name}/{number} is {alias} already: name another version, as {name}/VERSION")
    said = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "by": runs.user(), "why": " ".join(why.split())}
    client.set_registered_model_alias(name, alias, number)
    for key, value in said.items():
        client.set_model_version_tag(name, number, f"{PROMOTED}.{alias}.{key}", value)
    if before in {None, number}:
        return f"{name}/{number} is {alias}"
    for key, value in said.items():
        client.set_model_version_tag(name, before, f"{DEMOTED}.{alias}.{key}", value)
    return f"{name}/{number} is {alias}, which {name}/{before} was"


def read(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """A version's promotions and demotions, oldest first: ``what``, ``alias``, ``at``, ``by``, ``why``."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for key, value in tags.items():
        if parts := _TAG.fullmatch(key):
            what, alias, part = parts.groups()
            found.setdefault((what, alias), {"what": what, "alias": alias, "at": "", "by": "", "why": ""})[part] = value
    return sorted(found.values(), key=lambda one: (one["at"], one["what"] != PROMOTED, one["alias"]))
