"""Features of a cohort's rows. That a backbone makes the same bytes of every image: tests/stages/finetune."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages.artifacts import features
from stages.runtime import UserError
from tests.conftest import ROOT


def test_weights_that_are_missing_are_one_line(workspace: Path) -> None:
    folder = workspace / "data/images/a-batch"
    folder.mkdir(parents=True)
    np.save(folder / "pixels.npy", np.zeros((7, 32, 32), dtype=np.uint8))
    (workspace / "params.yaml").write_text("features: {weights: some}\n")
    done = subprocess.run(
        [sys.executable, "-m", "stages.features", "a-batch"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "some.safetensors" in done.stderr
    assert not features.path("a-batch").exists()


def test_rows_of_a_cohort_find_their_features_across_batches(workspace: Path) -> None:
    features.write("a", np.arange(6, dtype=np.float32).reshape(3, 2))
    features.write("b", 100 + np.arange(4, dtype=np.float32).reshape(2, 2))
    rows = pd.DataFrame({"batch": ["b", "a", "b", "a"], "row": [1, 2, 0, 0]})
    assert features.of(rows).tolist() == [[102, 103], [4, 5], [100, 101], [0, 1]]
    with pytest.raises(UserError, match="dvc repro"):
        features.read("c")
