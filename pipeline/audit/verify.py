"""Recompute every link from a registered model to the DICOM bytes.

Registry, run, model bytes, lock files, git, code, parameters, data, environment: each link is recomputed from bytes
that are at hand and compared with what was recorded when the model was made. Nothing is written.
"""

from collections.abc import Callable, Sequence

from pipeline import history
from pipeline.audit import contents
from pipeline.audit.checks import code, data, environment, locks, mlflow
from pipeline.audit.contents import Contents
from pipeline.audit.links import Link, State
from pipeline.audit.record import Record, recipe_of
from pipeline.lineage import Chain
from stages.artifacts import model
from stages.runtime import UserError


def verify(record: Record, *, paths: bool = False) -> list[Link]:
    """Every link, from the registry to the DICOM. With ``paths``, files within a batch are named: they can hold names.

    Raises
    ------
    UserError
        If this is no git clone with DVC, or the lineage in MLflow is gone altogether.
    """
    store = Contents(contents.claims(record.locks()))
    chains, faults = _chains(record, store)
    whole, own = _trusted(record, list(chains.values()))
    recipe = recipe_of(own)
    sealed = history.sealed_by(own.stages, own.output(model.weights_path(recipe)).md5)
    store.sealed = sealed
    return [
        *mlflow.registry(record),
        *mlflow.descriptions(record),
        *mlflow.artifacts(record.run, "run"),
        *(mlflow.artifacts(record.recipe, f"recipe {recipe}") if record.recipe else ()),
        *mlflow.metrics(record, recipe, own),
        *mlflow.curves(record, recipe, own),
        *mlflow.weights(record, own, recipe),
        *faults,
        *locks.hashes(record, chains, whole, own),
        locks.sealed(record, own, sealed),
        *locks.joins(own),
        *code.code(record, own),
        *code.values(record, own),
        *data.files(own, store, record, paths=paths),
        *data.datasets(record, own, store),
        *environment.packages(record),
    ]


def verdict(links: Sequence[Link]) -> int:
    """The exit status: 0 all recomputed, 1 something is broken, 2 nothing is broken but something is not here."""
    states = {one.state for one in links}
    return 1 if State.BROKEN in states else 2 if State.ABSENT in states else 0


def _chains(record: Record, store: Contents) -> tuple[dict[str, Chain], list[Link]]:
    """The chain of the lock files and that of lineage.json, as far as they can be read; and what cannot."""
    reads: dict[str, Callable[[], Chain]] = {
        "lock files": lambda: record.from_locks(store.listing),
        "lineage.json": record.told,
    }
    found: dict[str, Chain] = {}
    faults: list[Link] = []
    for name, read in reads.items():
        try:
            found[name] = read()
        except UserError as error:
            faults.append(Link("lock", name, State.BROKEN, str(error)))
    if not found:
        raise UserError(f"{record.label}: run {record.run.id} in MLflow holds no lineage: {faults[0].detail}")
    return found, faults


def _trusted(record: Record, chains: Sequence[Chain]) -> tuple[Chain, Chain]:
    """The whole chain and the version's own: where two differ, the one with the hash that the version names."""
    pairs = []
    for whole in chains:
        try:
            pairs.append((whole, record.own(whole)))
        except UserError:
            continue
    if not pairs:
        raise UserError(f"{record.label}: no stage of its chain evaluated the recipe that MLflow names")
    return next((pair for pair in pairs if pair[1].sha256 == record.tags.get("chain.sha256")), pairs[0])
