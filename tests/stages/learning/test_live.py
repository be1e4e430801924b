import logging
import subprocess
import sys
import threading

import pytest
from mlflow.tracking import MlflowClient

from stages.artifacts.model import Epoch
from stages.learning import live as module
from stages.learning.live import live

EPOCHS = [Epoch(epoch=n, lr=0.1, train_loss=1 / n, val_loss=2 / n, val_auroc=n / 4) for n in (1, 2, 3)]


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch, workspace):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)


def _train(**options):
    with live("fine_tune", {"lr": 0.1}, **options) as on_epoch:
        for epoch in EPOCHS:
            on_epoch(epoch)


@pytest.mark.slow
def test_curves_are_in_mlflow_when_training_ends(workspace, monkeypatch):
    address = f"sqlite:///{workspace / 'server.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setattr(module, "_LAST_WORDS_SECONDS", 120)  # the database is created first
    _train()
    with pytest.raises(RuntimeError, match="out of coffee"), live("scratch", {}):
        raise RuntimeError("out of coffee")

    client = MlflowClient(address)
    experiment = client.get_experiment_by_name(module.EXPERIMENT)
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert {name: run.info.status for name, run in runs.items()} == {"fine_tune": "FINISHED", "scratch": "FAILED"}
    assert runs["fine_tune"].data.params == {"lr": "0.1"}
    for name in ("lr", "train_loss", "val_loss", "val_auroc"):
        history = client.get_metric_history(runs["fine_tune"].info.run_id, name)
        assert [(item.step, item.value) for item in history] == [(epoch["epoch"], epoch[name]) for epoch in EPOCHS]


@pytest.mark.slow
def test_what_an_epoch_does_not_have_is_not_sent_and_the_tag_says_what_is_trained(workspace, monkeypatch):
    address = f"sqlite:///{workspace / 'server.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setattr(module, "_LAST_WORDS_SECONDS", 120)  # the database is created first
    with live("chest", {}, kind="self_supervised") as on_epoch:
        on_epoch({"epoch": 0, "val_auroc": 0.5})
        on_epoch({"epoch": 1, "lr": 0.1, "loss": 4.0, "val_auroc": float("nan")})
        on_epoch({"epoch": 2, "lr": 0.0, "loss": 3.0, "val_auroc": 0.75})

    client = MlflowClient(address)
    experiment = client.get_experiment_by_name(module.EXPERIMENT)
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.tags["radrepro.self_supervised"] == "chest"
    told = {
        name: [(item.step, item.value) for item in client.get_metric_history(run.info.run_id, name)]
        for name in ("lr", "loss", "val_auroc")
    }
    assert told == {"lr": [(1, 0.1), (2, 0.0)], "loss": [(1, 4.0), (2, 3.0)], "val_auroc": [(0, 0.5), (2, 0.75)]}


def test_a_server_that_is_gone_costs_one_warning(monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    with caplog.at_level(logging.WARNING, logger="radrepro"):
        _train()
    said = [record.message for record in caplog.records if record.name == "radrepro"]
    assert len(said) == 1
    assert "no live curves" in said[0]
    assert "training goes on" in said[0]
    assert "secret" not in caplog.text


def test_a_server_that_never_answers_holds_training_up_for_no_longer_than_agreed(monkeypatch, caplog):
    gate = threading.Event()
    monkeypatch.setattr(module, "_send", lambda *_: gate.wait())
    monkeypatch.setattr(module, "_LAST_WORDS_SECONDS", 0.05)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with caplog.at_level(logging.WARNING, logger="radrepro"):
        _train()
    gate.set()
    assert "did not take the last" in caplog.text


@pytest.mark.parametrize("switched_off", [True, False])
def test_nothing_is_started_when_switched_off_or_without_a_database(monkeypatch, switched_off):
    monkeypatch.setattr(module, "_send", lambda *_: pytest.fail("must not be called"))
    if switched_off:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    before = threading.active_count()
    _train(enabled=not switched_off)
    assert threading.active_count() == before


def test_training_does_not_need_mlflow():
    code = "import sys; sys.modules['mlflow'] = None; import stages.finetune.training, stages.learning.live"
    subprocess.run([sys.executable, "-c", code], check=True)
