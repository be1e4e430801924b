"""What MLflow says, against itself and against the files that it holds."""

import hashlib
import io
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline import summary
from pipeline.audit.links import Link, State, link
from pipeline.audit.record import CURVES, Record, Run
from pipeline.lineage import Chain
from pipeline.tracking import names, results, workspace
from pipeline.tracking.models import FILE_TAG
from pipeline.tracking.runs import ARTIFACT_TAG
from stages.artifacts import evaluation, model

_OF_ONE_ONLY = ("chain.sha256", "chain.links", "code.sealed", names.DESCRIPTION)
"""Tags that a version and its run both have, each about its own chain."""
_MOST_NAMED = 3

_SERVED = "registered_model_meta"
"""MLflow writes it into the model's files when it loads or serves a version: the version's name and number."""


def registry(record: Record) -> Iterator[Link]:
    """The version's source run, and its tags against its run's."""
    status = record.run.status
    yield link("registry", f"source run {record.run.id[:8]}", status == "FINISHED", f"it is {status}", "FINISHED")
    shared = sorted(set(record.tags) & set(record.run.tags) - set(_OF_ONE_ONLY))
    differing = [key for key in shared if record.tags[key] != record.run.tags[key]]
    for key in differing:
        yield Link(
            "registry", f"tag {key}", State.BROKEN, f"version: {record.tags[key]}; its run: {record.run.tags[key]}"
        )
    needed = {"best.recipe", "chain.sha256", "code.commit", "data.batches", "model.sha256"}
    for key in sorted(needed - set(record.tags)):
        yield Link("registry", f"tag {key}", State.BROKEN, "the version has none")
    for key in sorted((needed - {"chain.sha256"}) & set(record.tags) - set(record.run.tags)):
        yield Link("registry", f"tag {key}", State.BROKEN, "the run has none")
    if not differing:
        yield Link("registry", "tags", State.OK, f"{len(shared)} of the version are its run's")
    told = record.tags.get("chain.sha256", "-") in record.description
    yield link("registry", "description", told, "it does not name the chain of the tag chain.sha256", "names the chain")


def descriptions(record: Record) -> Iterator[Link]:
    """The texts on the pages of the version and of its run are those that were logged."""
    note = record.run.tags.get(MLFLOW_RUN_NOTE, "")
    for whose, text, tags in (("version", record.description, record.tags), ("run", note, record.run.tags)):
        name = f"description of the {whose}"
        if names.DESCRIPTION not in tags:
            yield Link("registry", name, State.ABSENT, "logged by an earlier radrepro, before its hash was kept")
            continue
        same = hashlib.sha256(text.encode()).hexdigest() == tags[names.DESCRIPTION]
        yield link("registry", name, same, "it is not the text that was logged", "sha256")


def artifacts(run: Run, whose: str) -> Iterator[Link]:
    """The files of a run: each gives the hash that was logged."""
    recorded = {
        key.removeprefix(ARTIFACT_TAG): value for key, value in run.tags.items() if key.startswith(ARTIFACT_TAG)
    }
    if not recorded:
        yield Link("artifact", f"{whose}: all", State.ABSENT, "logged by an earlier radrepro, before hashes were kept")
        return
    files = [path for path in sorted(run.files.rglob("*")) if path.is_file()] if run.files.is_dir() else []
    found = {names.clean(path.relative_to(run.files).as_posix()): path for path in files}
    wrong = 0
    for name, sha256 in recorded.items():
        if name not in found:
            wrong += 1
            yield Link("artifact", f"{whose}: {name}", State.BROKEN, "MLflow has it no longer")
        elif workspace.sha256(found[name]) != sha256:
            wrong += 1
            yield Link("artifact", f"{whose}: {name}", State.BROKEN, "its bytes are not those that were logged")
    if not wrong:
        yield Link("artifact", f"{whose}: {len(recorded)} files", State.OK, "sha256")


def metrics(record: Record, recipe: str, own: Chain) -> Iterator[Link]:
    """The metrics that MLflow shows are those of the evaluation whose hash the chain has."""
    if record.recipe is None:
        yield Link("run", f"recipe {recipe}", State.BROKEN, "MLflow has its run no longer")
        return
    name = evaluation.path(recipe).name
    text = record.recipe.text(name)
    out = own.output(evaluation.path(recipe))
    if hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() != out.md5:
        yield Link("run", name, State.BROKEN, f"it is not {out.path} of the chain")
        return
    judged = json.loads(text)
    numbers = results.named(judged)
    for run, whose in ((record.run, "run"), (record.recipe, f"recipe {recipe}")):
        wrong = sorted(key for key, value in numbers.items() if run.metrics.get(key) != value)
        said = ", ".join(f"{key} {run.metrics.get(key)}, evaluated {numbers[key]}" for key in wrong[:_MOST_NAMED])
        yield link("run", f"metrics of {whose}", not wrong, said, f"{len(numbers)} as evaluated")
    told = {f"best.auroc.{side}": summary.interval(judged, side, "auroc") for side in ("val", "test")} | {
        "best.recipe": recipe
    }
    for key, value in told.items():
        yield link(
            "registry", f"tag {key}", record.tags.get(key) == value, f"{record.tags.get(key)}; evaluated {value}"
        )


def curves(record: Record, recipe: str, own: Chain) -> Iterator[Link]:
    """Every point of the curves that MLflow draws of the recipe is the row of history.csv, whose hash the chain has."""
    if record.recipe is None:
        return  # as metrics() says
    path = model.history_path(recipe)
    text = record.recipe.text(f"training/{path.name}")
    if hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() != own.output(path).md5:
        yield Link("run", path.name, State.BROKEN, f"it is not {path} of the chain")
        return
    table = pd.read_csv(io.StringIO(text)).set_index("epoch")
    columns = {f"{CURVES}{name}": table[name].dropna() for name in table.columns}
    rows = {
        name: list(zip(column.index.tolist(), column.tolist(), strict=True))
        for name, column in columns.items()
        if len(column)
    }
    drawn = record.recipe.curves
    last = {name: [(points[-1][0], record.recipe.metrics[name])] for name, points in rows.items() if name in drawn}
    wrong = sorted(
        name
        for name in {*rows, *drawn}
        if not (_same(drawn.get(name, []), rows.get(name, [])) and _same(last.get(name, []), rows.get(name, [])[-1:]))
        or name not in rows
    )
    said = f"{', '.join(wrong[:_MOST_NAMED])}: not as in {path}"
    yield link("run", f"curves of recipe {recipe}", not wrong, said, f"{len(rows)} as in {path.name}")


def weights(record: Record, own: Chain, recipe: str) -> Iterator[Link]:
    """The model's files, and the join of the registry with the chain: the weights are what dvc.lock names."""
    recorded = {
        key.removeprefix(FILE_TAG): value for key, value in record.model_tags.items() if key.startswith(FILE_TAG)
    }
    folder = record.model_files
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()] if folder.is_dir() else []
    found = {names.clean(path.relative_to(folder).as_posix()): path for path in files}
    for name in sorted(set(recorded) | set(found)):
        if name not in found:
            yield Link("model", name, State.BROKEN, "MLflow has it no longer")
        elif name == _SERVED and name not in recorded:
            yield link(
                "model", name, _names(found[name], record), f"it does not name {record.label} alone", record.label
            )
        elif recorded and name not in recorded:
            yield Link("model", name, State.BROKEN, "it was added after the model was logged")
        elif recorded and workspace.sha256(found[name]) != recorded[name]:
            yield Link("model", name, State.BROKEN, "its bytes are not those that were logged")
    weights = next((path for path in files if path.name == model.weights_path(recipe).name), None)
    if weights is None:
        yield Link("model", model.weights_path(recipe).name, State.BROKEN, "MLflow has no weights of this model")
        return
    sha256, md5 = workspace.sha256(weights), workspace.md5(weights)
    for whose, tags in (("version", record.tags), ("run", record.run.tags), ("model", record.model_tags)):
        said = tags.get("model.sha256")
        yield link(
            "model", f"sha256 of the weights, {whose}'s tag", said == sha256, f"{said}, the weights {sha256}", sha256
        )
    out = own.output(model.weights_path(recipe))
    yield link(
        "model", f"registry to {out.path}", md5 == out.md5, f"dvc.lock has md5 {out.md5}, MLflow's is {md5}", md5
    )


def _names(path: Path, record: Record) -> bool:
    """Whether the file holds the version's name and number, and nothing else."""
    try:
        told = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError):
        return False
    return told in (
        {"model_name": record.name, "model_version": said} for said in (record.version, int(record.version))
    )


def _same(drawn: Sequence[tuple[int, float]], rows: Sequence[tuple[int, float]]) -> bool:
    """The same steps, with the same values but for how a version of pandas reads the last bit of a number."""
    return [step for step, _ in drawn] == [step for step, _ in rows] and all(
        math.isclose(point[1], row[1], rel_tol=1e-12) for point, row in zip(drawn, rows, strict=True)
    )
