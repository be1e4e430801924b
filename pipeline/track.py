"""MLflow: one run per `dvc repro` with a child per recipe, the chain, and the best model as a version.

Self-supervised training that a recipe rests on is a child too.

The last DVC stage. It reads everything from dvc.lock and the files that the lock names, nothing from earlier runs, so
the picture is complete on another machine, from DVC's cache, and against an empty MLflow server.
"""

import hashlib
import json
import logging
import math
import os
import tempfile
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import DatasetInput, LoggedModelOutput, Metric
from mlflow.utils.mlflow_tags import MLFLOW_GIT_BRANCH, MLFLOW_GIT_COMMIT, MLFLOW_RUN_NOTE, MLFLOW_SOURCE_NAME

from pipeline import summary
from pipeline.lineage import Chain
from pipeline.serving.spec import Spec
from pipeline.tracking import datasets, describe, models, names, registry, results, runs, servable, store, workspace
from pipeline.tracking.picture.page import page
from pipeline.tracking.results import PretrainingResult, RecipeResult, Results
from pipeline.tracking.workspace import Commit, Locks
from stages import params, runtime
from stages.artifacts import card, crossval, evaluation, intake, looks, model, pretraining, shortcuts
from stages.artifacts.cohort import Subset
from stages.track_params import TrackParams

TRACKED = Path("reports/tracked.json")

_TOLD = (evaluation.COMPARISON_REPORT_PATH, evaluation.COMPARISON_PATH, intake.PATH, shortcuts.PATH)
"""Of all recipes together, what goes with the run."""

log = logging.getLogger("radrepro")


def main() -> None:
    """Read the workspace, tell MLflow, leave a mark of what was told."""
    settings = params.read("track", TrackParams)
    locks = workspace.locks()
    found = results.read(locks.chain)
    outputs = [out.path for stage in locks.chain.stages for out in stage.outputs]
    code = workspace.commit([*locks.texts, *outputs, str(looks.PATH)])
    own = locks.chain.upstream(found.best.evaluated_by)
    for link in locks.chain.broken:
        log.warning("%s read another %s than dvc.lock holds now: run 'dvc repro' without -s", link.stage, link.path)

    with store.connected() as client:
        experiment = store.experiment(client, settings.experiment)
        if dead := runs.reconcile(client, experiment):
            log.info("%d runs of an earlier track that was killed: marked KILLED in MLflow", dead)
        run, version = tell(client, experiment, settings.model, found, locks, own, code)
        registry.seal(client, settings.model)

    where = f"/#/experiments/{experiment}/runs/{run}?workflowType=machine_learning"
    last = {"store": store.shown(store.uri()), "path": where, "run": run, "version": version}
    runtime.write_json(summary.LAST_RUN, last)
    marks = {"chain_sha256": locks.chain.sha256, "best": found.best.name, "model_sha256": found.best.sha256}
    runtime.write_json(TRACKED, {**marks, "experiment": settings.experiment, "model": settings.model})


def tell(
    client: MlflowClient, experiment: str, name: str, found: Results, locks: Locks, own: Chain, code: Commit
) -> tuple[str, str]:
    """Log the pipeline run, its children and the model version; the run's id and the version's name."""
    source = {MLFLOW_GIT_COMMIT: code.commit, MLFLOW_GIT_BRANCH: code.branch, MLFLOW_SOURCE_NAME: "dvc repro"}
    source = {key: value for key, value in source.items() if value}
    note = describe.run(found, locks, code)
    tags = describe.run_tags(found, locks, code) | source | {MLFLOW_RUN_NOTE: note}
    tags[names.DESCRIPTION] = hashlib.sha256(note.encode()).hexdigest()
    data = datasets.inputs(found.cohort, found.cohort_file)
    title = os.environ.get("DVC_EXP_NAME") or f"{found.best.name} {locks.chain.sha256[:8]}"
    with runs.run(client, experiment, title, tags) as parent:
        for made in found.pretrained:
            _pretraining(client, experiment, parent, made, data, source)
        logged = {}
        for recipe in found.recipes:
            spec = servable.spec(recipe, found.cohort, locks.chain.upstream(recipe.evaluated_by))
            logged[recipe.name] = _child(client, experiment, parent, recipe, spec, data, source)
        numbers = found.best.numbers() | _costs(locks.chain, found) | _seen(found)
        runs.record(client, parent, params=describe.flat(params.load()), metrics=runs.metrics(numbers))
        client.log_inputs(parent, data)
        client.log_outputs(parent, [LoggedModelOutput(logged[found.best.name][1], step=0)])
        _upload(client, parent, found, locks, code)
        best = found.best
        version = registry.find(client, name, best.sha256, own.sha256)
        if version:
            log.info("%s version %s is this model already: same bytes, same chain", name, version.version)
        else:
            about = describe.version(found, own, code)
            marks = describe.version_tags(found, own, locks, code)
            version = registry.register(client, name, logged[best.name][1], parent, about, marks)
            log.info("%s is version %s of model '%s'", best.name, version.version, name)
        label = f"{name}/{version.version}"
        for run in (parent, logged[best.name][0]):
            runs.record(client, run, tags={"model.version": label})
    return parent, label


def _child(
    client: MlflowClient,
    experiment: str,
    parent: str,
    recipe: RecipeResult,
    spec: Spec,
    data: list[DatasetInput],
    source: dict[str, str],
) -> tuple[str, str]:
    """Log one recipe; the ids of its run and of its model."""
    training = recipe.training
    given = recipe.params | {key: training[key] for key in ("architecture", "device", "precision")}
    given |= {"chosen": training.get("chosen") or {}}
    numbers = recipe.numbers() | {
        key: float(training[key]) for key in ("epochs", "best_epoch", "trainable_parameters", "parameters")
    }
    marks = {"recipe": recipe.name, "model.sha256": recipe.sha256}
    with runs.run(client, experiment, recipe.name, marks | source, parent) as run:
        logged = models.log(client, experiment, run, recipe.name, marks, spec)
        measured = _curves(recipe.history) + runs.metrics(_trained(recipe.cost))
        runs.record(client, run, params=describe.flat(given), metrics=measured)
        runs.record(client, run, metrics=runs.metrics(numbers, run=run, model=logged))
        client.log_inputs(run, data)
        runs.upload(client, run, _files(recipe.name))
        if "crossval" in recipe.metrics:
            files = (crossval.path(recipe.name), crossval.report_path(recipe.name))
            runs.upload(client, run, dict.fromkeys(files, "crossval"))
    return run, logged


def _pretraining(
    client: MlflowClient,
    experiment: str,
    parent: str,
    made: PretrainingResult,
    data: list[DatasetInput],
    source: dict[str, str],
) -> None:
    """Log one entry of ``self_supervised``."""
    words = {key: value for key, value in made.record.items() if isinstance(value, str)}
    numbers = {key: float(value) for key, value in made.record.items() if key not in words}
    curves = [metric for curve in made.curves for metric in _curves(curve)]
    marks = {"self_supervised": made.name, "weights.sha256": made.sha256}
    with runs.run(client, experiment, f"self_supervised.{made.name}", marks | source, parent) as run:
        measured = curves + runs.metrics(numbers | _trained(made.cost))
        runs.record(client, run, params=describe.flat(made.params | words), metrics=measured)
        client.log_inputs(run, [one for one in data if one.dataset.name in {Subset.TRAIN, Subset.VAL}])
        files = (pretraining.loss_path, pretraining.probe_path, pretraining.record_path)
        runs.upload(client, run, {path(made.name): "training" for path in files})


def _curves(history: pd.DataFrame) -> list[Metric]:
    """A step per epoch, of every column."""
    return [
        metric
        for row in history.to_dict("records")
        for metric in runs.metrics(
            {f"curves/{key}": float(value) for key, value in row.items() if key != "epoch"}, step=int(row["epoch"])
        )
        if not math.isnan(metric.value)  # an AUROC is undefined where one class is absent
    ]


def _trained(cost: dict[str, float]) -> dict[str, float]:
    """What training cost, as metrics; none where that was elsewhere."""
    return {"train_seconds": cost["seconds"], "train_peak_mib": cost["peak_mib"]} if cost else {}


def _seen(found: Results) -> dict[str, float]:
    """How often test was looked at, and what should make a reader doubt what it says."""
    return {"test.looks": float(found.test_looks), "shortcuts.warnings": float(len(found.warnings))}


def _costs(chain: Chain, found: Results) -> dict[str, float]:
    """What each stage last cost on this machine; MLflow draws names with a slash as groups of charts."""
    elsewhere = {f"finetune@{recipe.name}" for recipe in found.recipes if not recipe.cost}
    elsewhere |= {f"pretrain@{made.name}" for made in found.pretrained if not made.cost}
    labels = {stage.label for stage in chain.stages} - elsewhere
    return {
        f"{what}/{stage.replace('@', '.')}": cost[what]
        for stage, cost in runtime.records().items()
        if stage in labels
        for what in summary.COSTS
    }


def _files(recipe: str) -> dict[Path, str]:
    """Reports and curves; not the predictions, which are a row per patient: DVC keeps them."""
    folder = evaluation.directory(recipe)
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".parquet" and path.name[0] != "."
    ]
    found = {path: "" if path.parent == folder else path.parent.relative_to(folder).as_posix() for path in files}
    told = {card.path(recipe): "card", card.markdown_path(recipe): "card"}
    return found | told | {model.history_path(recipe): "training", model.training_path(recipe): "training"}


def _upload(client: MlflowClient, run: str, found: Results, locks: Locks, code: Commit) -> None:
    files = dict.fromkeys([*_TOLD, params.PATH], "")
    files |= {Path(lock): str(Path("lineage") / Path(lock).parent) for lock in locks.texts}
    pinned = Path("requirements.lock")
    if pinned.exists():
        files[pinned] = "environment"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = {
            folder / "lineage.json": ("lineage", json.dumps(locks.chain.to_json(), indent=2)),
            folder / "lineage.html": ("", page(locks.chain, found.best.evaluated_by)),
            folder / "packages.json": ("environment", json.dumps(workspace.environment(), indent=2)),
            folder / "changes.patch": ("git", code.patch),
        }
        for pointer, text in locks.pointers.items():
            at = Path("lineage") / Path(pointer).parent
            texts[folder / at / Path(pointer).name] = (at.as_posix(), text)
        for path, (_, text) in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        runs.upload(client, run, files | {path: folder for path, (folder, text) in texts.items() if text})


if __name__ == "__main__":
    runtime.run("track", main)
