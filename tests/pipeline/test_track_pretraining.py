"""Self-supervised training that recipes rest on, in MLflow and in the chain."""

import hashlib
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from ruamel.yaml import YAML

from pipeline import track
from pipeline.lineage import Join
from pipeline.tracking import workspace
from stages.runtime import UserError
from tests.pipeline.conftest import run

pytestmark = pytest.mark.slow  # DVC runs five stages

ENTRY = {"method": "simclr", "epochs": 3, "lr": 0.1}


@pytest.fixture
def adapted(project: Path) -> Path:
    """The built project with a chain of two entries that all recipes rest on, and a third that none does."""
    yaml = YAML()
    params = yaml.load(Path("params.yaml"))
    params["self_supervised"] = {
        "adapted": ENTRY | {"weights": "broad"},
        "broad": ENTRY | {"weights": "starter"},
        "unused": ENTRY | {"weights": "starter"},
    }
    for recipe in params["recipes"].values():
        recipe["weights"] = "adapted"
    yaml.dump(params, Path("params.yaml"))
    pipeline = yaml.load(Path("dvc.yaml"))
    pipeline["stages"]["finetune"]["do"]["deps"].append("weights/${item.weights}.safetensors")
    yaml.dump(pipeline, Path("dvc.yaml"))
    Path("weights").mkdir()
    Path("weights/starter.safetensors").write_text("the starter\n")
    run("dvc", "repro", "card")
    return project


def _runs(path: Path) -> dict:
    client = MlflowClient(f"sqlite:///{path / 'mlflow.db'}", f"sqlite:///{path / 'mlflow.db'}")
    found = client.search_runs([one.experiment_id for one in client.search_experiments()])
    return {one.info.run_name: (client, one) for one in found}


def test_the_lineage_passes_through_it_to_the_data(adapted: Path) -> None:
    whole = workspace.locks().chain
    own = whole.upstream("finetune@fine_tune")
    labels = {stage.label for stage in own.stages}
    assert {"pretrain@adapted", "pretrain@broad", "split", "preprocess@site-a", "ingest@site-b", "phantom"} <= labels
    assert "pretrain@unused" not in labels
    joins = {(link.stage, link.path): link for link in own.links}
    link = joins["finetune@fine_tune", "weights/adapted.safetensors"]
    assert (link.producers, link.join) == (("pretrain@adapted",), Join.EXACT)
    assert joins["pretrain@adapted", "weights/broad.safetensors"].producers == ("pretrain@broad",)
    assert joins["pretrain@broad", "data/cohort.parquet"].producers == ("split",)
    assert joins["pretrain@broad", "data/images"].join is Join.ASSEMBLED
    assert not own.broken


def test_it_is_a_run_beside_the_recipes_with_its_curves(adapted: Path) -> None:
    track.main()

    found = _runs(adapted)
    assert len(found) == 5, "the parent, two recipes, and what they rest on; not what they do not"
    assert {name for name in found if name.startswith("self_supervised")} == {
        "self_supervised.adapted",
        "self_supervised.broad",
    }
    client, logged = found["self_supervised.adapted"]
    parents = {one.data.tags.get("mlflow.parentRunId") for name, (_, one) in found.items() if "fine_tune" in name}
    assert logged.data.tags["mlflow.parentRunId"] in parents
    assert logged.info.status == "FINISHED"
    assert logged.data.params["method"] == "simclr"
    assert logged.data.params["temperature"] == "0.1"
    assert logged.data.params["source"] == "simclr from starter"
    assert logged.data.metrics["val_auroc_at_start"] == 0.6
    assert logged.data.metrics["unlabelled"] == 4
    assert logged.data.metrics["train_seconds"] > 0
    weights = (adapted / "weights/adapted.safetensors").read_bytes()
    assert logged.data.tags["weights.sha256"] == hashlib.sha256(weights).hexdigest()
    curves = {"loss": "loss.csv", "lr": "loss.csv", "val_auroc": "probe.csv"}
    for name, file in curves.items():
        told = client.get_metric_history(logged.info.run_id, f"curves/{name}")
        kept = pd.read_csv(adapted / "reports/pretrain/adapted" / file)
        assert [(one.step, one.value) for one in told] == list(zip(kept["epoch"], kept[name], strict=True))
    assert {one.dataset.name for one in logged.inputs.dataset_inputs} == {"train", "val"}
    files = {item.path for item in client.list_artifacts(logged.info.run_id, "training")}
    assert files == {"training/loss.csv", "training/probe.csv", "training/pretraining.json"}
    parent = client.get_run(logged.data.tags["mlflow.parentRunId"])
    assert parent.data.metrics["seconds/pretrain.adapted"] > 0
    assert parent.data.params["self_supervised.adapted.weights"] == "broad"


def test_weights_that_are_not_those_of_the_lock_are_refused(adapted: Path) -> None:
    path = Path("weights/adapted.safetensors")
    path.chmod(0o644)
    path.unlink()
    path.write_text("others\n")
    with pytest.raises(UserError, match=r"weights/adapted.safetensors is not what dvc.lock records"):
        track.main()
