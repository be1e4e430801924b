"""``python -m stages.card``: files in, a card out, the same every time."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML
from safetensors.numpy import save_file

from stages import runtime
from stages.artifacts import card, evaluation, index, intake, model
from stages.artifacts.cohort import Cohort
from stages.card.facts import Facts
from tests.conftest import ROOT


@pytest.fixture
def project(binary: Facts, workspace: Path) -> Path:
    """What the stages before it leave, of the recipe fine_tune."""
    for name in ("params.yaml", "card.yaml", "requirements.lock"):
        shutil.copy(ROOT / name, name)
    yaml = YAML()
    given = yaml.load(Path("params.yaml"))
    given["split"] |= {"task": "binary", "classes": list(binary.cohort.classes)}
    yaml.dump(given, Path("params.yaml"))
    binary.cohort.write()
    Cohort.write_excluded(binary.excluded)
    for batch, rows in binary.cohort.frame.groupby("batch"):
        files = pd.DataFrame(dict.fromkeys(index.SCHEMA.names), index=rows.index)
        index.write(str(batch), files.assign(instance=rows["instance"], rows=400, columns=300, bits_stored=12))
    intake.write(binary.intake)
    model.directory("fine_tune").mkdir(parents=True)
    save_file({"weight": np.zeros(3, np.float32)}, model.weights_path("fine_tune"), metadata=dict(binary.header))
    runtime.write_json(model.training_path("fine_tune"), binary.training)
    evaluation.write("fine_tune", dict(binary.evaluation))
    evaluation.write_curve("fine_tune", "confusion", binary.decisions)
    runtime.write_json(evaluation.COMPARISON_PATH, binary.comparison)
    return workspace


def stage() -> subprocess.CompletedProcess[str]:
    """As DVC runs it."""
    command = [sys.executable, "-m", "stages.card", "fine_tune"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_card_is_made_of_the_files_and_the_authors_words(binary: Facts, project: Path) -> None:
    Path("card.yaml").write_text("funding: Nobody paid for it.\n", encoding="utf-8")
    done = stage()
    assert done.returncode == 0, done.stderr
    assert "card@fine_tune: 20 of 44 items of CLAIM are filled; 32 questions wait in card.yaml" in done.stderr
    content = json.loads(card.path("fine_tune").read_text())
    text = card.markdown_path("fine_tune").read_text()
    assert content["metrics"]["test"]["auroc"] == binary.evaluation["test"]["auroc"]
    assert len(content["model"]["sha256"]) == 64
    assert "| 44 | Other information: Funding, and the funders' role | filled | Nobody paid for it. |" in text
    assert "400 rows by 300 columns, 12 bits" in text
    assert "torch 2." in text
    assert stage().returncode == 0
    assert card.markdown_path("fine_tune").read_text() == text
    assert json.loads(card.path("fine_tune").read_text()) == content


def test_a_slip_in_the_authors_file_is_one_line(project: Path) -> None:
    Path("card.yaml").write_text("fundings: x\n", encoding="utf-8")
    done = stage()
    assert done.returncode == 1
    assert done.stderr == "card@fine_tune: error: card.yaml: 'fundings' is nothing that a card asks: is it 'funding'?\n"
    assert not card.path("fine_tune").exists()


def test_without_the_comparison_it_says_what_to_do(project: Path) -> None:
    evaluation.COMPARISON_PATH.unlink()
    done = stage()
    assert done.returncode == 1
    assert done.stderr == "card@fine_tune: error: reports/comparison.json is not here: run 'dvc repro'\n"
