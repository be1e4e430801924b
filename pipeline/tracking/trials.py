"""A sweep in MLflow: one run, and in it a run for each trial, with what was tried and val by epoch."""

from collections.abc import Sequence
from datetime import datetime

from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from optuna import Study
from optuna.trial import FrozenTrial, TrialState

from pipeline.tracking import runs, store
from stages import params
from stages.track_params import TrackParams

_SWEEP, _TRIAL = "radrepro.sweep", "radrepro.trial"
_STATUS = {TrialState.COMPLETE: "FINISHED", TrialState.PRUNED: "KILLED", TrialState.FAIL: "FAILED"}
_MAX = 50_000  # MLflow's own limit to an answer


def log(study: Study, finished: Sequence[FrozenTrial], status: str) -> None:
    """Log every finished trial that MLflow does not have yet, and give the sweep's run this ``status``.

    It can be called again at any time, also by another process after this one was killed.

    Raises
    ------
    UserError
        If MLflow cannot be reached or refuses.
    """
    with store.connected() as client:
        experiment = store.experiment(client, f"{params.read('track', TrackParams).experiment}-sweeps")
        parent = _parent(client, experiment, study)
        have = _children(client, experiment, parent)
        for one in finished:
            if one.number not in have:
                _child(client, experiment, parent, one)
        complete = [one for one in finished if one.state is TrialState.COMPLETE]
        if complete:
            best = max(complete, key=lambda one: (one.value, -one.number))
            numbers = {"val.auroc": best.value or 0.0, "trials": float(len(finished))}
            runs.record(client, parent, metrics=runs.metrics(numbers, step=len(finished)))
            runs.record(client, parent, tags={"best.experiment": best.user_attrs["experiment"]})
        if status == "RUNNING":
            client.update_run(parent, status=status)
        else:
            client.set_terminated(parent, status)


def _parent(client: MlflowClient, experiment: str, study: Study) -> str:
    name = study.user_attrs["id"]
    found = client.search_runs([experiment], f"tags.`{_SWEEP}` = '{name}' and tags.`{_TRIAL}` = 'none'", max_results=1)
    if found:
        return str(found[0].info.run_id)
    recipe = study.user_attrs["recipe"]
    tags = {_SWEEP: name, _TRIAL: "none", "recipe": recipe}
    run = str(client.create_run(experiment, run_name=f"{recipe} sweep {name[:4]}", tags=tags).info.run_id)
    runs.record(client, run, params=study.user_attrs["space"])
    return run


def _children(client: MlflowClient, experiment: str, parent: str) -> set[int]:
    """Numbers of the trials that are there whole; what a killed process left half-logged is removed."""
    have = set()
    inside = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{parent}'"
    for run in client.search_runs([experiment], inside, max_results=_MAX):
        if run.info.status == "RUNNING":
            client.delete_run(run.info.run_id)
        else:
            have.add(int(run.data.tags[_TRIAL]))
    return have


def _child(client: MlflowClient, experiment: str, parent: str, one: FrozenTrial) -> None:
    tags = {MLFLOW_PARENT_RUN_ID: parent, _TRIAL: str(one.number)}
    tags["radrepro.pruned"] = "true" if one.state is TrialState.PRUNED else "false"
    tags |= {"radrepro.reason": one.user_attrs["reason"]} if "reason" in one.user_attrs else {}
    # only a trial that came to its end is an experiment in DVC
    tags |= {"dvc.experiment": one.user_attrs["experiment"]} if one.state is TrialState.COMPLETE else {}
    begun, ended = _milliseconds(one.datetime_start), _milliseconds(one.datetime_complete)
    run = client.create_run(experiment, begun, tags, one.user_attrs["experiment"]).info.run_id
    curve = [Metric("curves/val_auroc", value, begun, step) for step, value in sorted(one.intermediate_values.items())]
    final = [Metric("val.auroc", one.value or 0.0, ended, 0)] if one.state is TrialState.COMPLETE else []
    given = {name: str(value) for name, value in one.user_attrs["values"].items()}
    runs.record(client, run, params=given, metrics=curve + final)
    client.set_terminated(run, _STATUS[one.state], ended)


def _milliseconds(at: datetime | None) -> int:
    return int((at or datetime.now()).timestamp() * 1000)  # noqa: DTZ005 - Optuna's times are local, without a zone
