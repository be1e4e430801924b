"""The registered model, loaded from the registry alone in a process that knows nothing else of ours."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from pipeline.serving import fetch
from tests.pipeline.serving.conftest import CHAIN, CLASSES, GOOD, THRESHOLDS, Registered

pytestmark = pytest.mark.long

ASK = """
import json, sys
from pathlib import Path
import mlflow.pyfunc, numpy as np, pandas as pd
given = json.load(sys.stdin)
uri, config = given["uri"], given.get("config")
model = mlflow.pyfunc.load_model(uri, dst_path=given["into"], model_config=config)
told = {}
def ask(name, frame, **params):
    try:
        told[name] = model.predict(frame, params=params or None).to_dict("records")
    except Exception as error:
        told[name] = f"{type(error).__name__}: {error}"
files = given["files"]
frames = {name: pd.DataFrame({"dicom": [Path(path).read_bytes()]}) for name, path in files.items()}
for name, frame in frames.items():
    ask(name, frame)
paths = pd.DataFrame({"path": list(files.values())})
ask("paths", paths)
ask("array", pd.DataFrame({"image": [np.load(given["array"])]}))
ask("lists", pd.DataFrame({"image": [np.load(given["array"]).tolist()]}))
bad = pd.concat([frames["plain"], pd.DataFrame({"dicom": [b"a letter"]})], ignore_index=True)
ask("bad", bad)
ask("reported", bad, refused="report")
ask("nothing", pd.DataFrame({"dicom": [None]}))
ask("both", frames["plain"].assign(path="x"))
ask("example", model.input_example)
ours = {m: vars(sys.modules[m]).get("__file__") for m in list(sys.modules) if m.split(".")[0] in ("stages", "pipeline")}
print(json.dumps({"told": told, "ours": ours}))
"""


def _ask(registered: Registered, folder: Path, code: str = ASK, **given: object) -> subprocess.CompletedProcess[str]:
    (folder / "into").mkdir(exist_ok=True)
    np.save(folder / "array.npy", registered.images("tall")[0].astype(np.int64))
    told = {"uri": "models:/tiny/1", "into": str(folder / "into"), "array": str(folder / "array.npy")}
    told |= {"files": {name: str(path) for name, path in registered.files.items()}} | given
    return subprocess.run(
        [sys.executable, "-P", "-c", code],
        input=json.dumps(told),
        cwd=folder,
        env=registered.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


@pytest.fixture(scope="module")
def asked(registered: Registered, tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tmp_path_factory.mktemp("alone")
    done = _ask(registered, folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1]) | {"folder": str(folder)}


def _probabilities(rows: list[dict]) -> np.ndarray:
    assert isinstance(rows, list), rows
    return np.array([[row[f"probability:{name}"] for name in CLASSES] for row in rows])


def test_no_code_of_ours_but_that_in_the_artifact_was_loaded(asked: dict) -> None:
    assert "stages.preprocess.convert" in asked["ours"]
    assert all(file.startswith(f"{asked['folder']}/into/code/") for file in asked["ours"].values())


@pytest.mark.parametrize("name", GOOD)
def test_an_answer_is_evaluates_to_a_millionth(registered: Registered, asked: dict, name: str) -> None:
    expected = registered.expected(registered.images(name))
    assert expected.std(axis=1).min() > 0.01
    assert _probabilities(asked["told"][name]) == pytest.approx(expected, abs=1e-6)


def test_a_row_says_the_decision_and_which_model_this_is(registered: Registered, asked: dict) -> None:
    (row,) = asked["told"]["plain"]
    probabilities = dict(zip(CLASSES, _probabilities([row])[0], strict=True))
    assert row["decision"] == [max(probabilities, key=probabilities.__getitem__)]
    assert row["above_threshold"] == [name for name in CLASSES if probabilities[name] >= THRESHOLDS[name]]
    assert row["prediction_set"] == [name for name in CLASSES if 1 - probabilities[name] <= 0.8]
    assert row["refused"] is None
    assert row["model"] == "tiny/1"
    assert row["chain_sha256"] == CHAIN
    assert row["model_sha256"] == registered.spec.model_sha256


def test_a_cine_has_a_row_for_each_frame_that_is_used(asked: dict) -> None:
    assert [(row["row"], row["frame"]) for row in asked["told"]["cine"]] == [(0, 0), (0, 2), (0, 4)]


def test_an_array_is_answered_as_the_stored_image_is(registered: Registered, asked: dict) -> None:
    expected = registered.expected(registered.images("tall"))
    for kind in ("array", "lists"):
        assert _probabilities(asked["told"][kind]) == pytest.approx(expected, abs=1e-6)


def test_a_refused_row_is_an_error_or_if_asked_for_a_row(asked: dict) -> None:
    assert "row 1: NOT_DICOM: not a DICOM file" in asked["told"]["bad"]
    good, refused = asked["told"]["reported"]
    assert good["refused"] is None
    assert _probabilities([good]) == pytest.approx(_probabilities(asked["told"]["plain"]), abs=0)
    assert refused["refused"].startswith("NOT_DICOM")
    assert refused["probability:normal"] is None
    assert refused["decision"] is None


def test_an_input_is_one_column(asked: dict) -> None:
    assert "give one of the columns dicom, path, image" in asked["told"]["nothing"]
    assert "give one of the columns dicom, path, image" in asked["told"]["both"]


def test_the_example_is_answered(asked: dict) -> None:
    assert _probabilities(asked["told"]["example"]).sum() == pytest.approx(1)


def test_paths_are_read_only_if_the_model_was_loaded_so(registered: Registered, asked: dict, tmp_path: Path) -> None:
    assert "model_config={'paths': True}" in asked["told"]["paths"]
    done = _ask(registered, tmp_path, config={"paths": True}, uri="models:/tiny@champion")
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])["told"]
    each = np.concatenate([_probabilities(asked["told"][name]) for name in GOOD])
    assert _probabilities(told["paths"]) == pytest.approx(each, abs=0)


def test_other_code_of_ours_in_the_process_is_refused(registered: Registered, tmp_path: Path) -> None:
    (tmp_path / "other/stages").mkdir(parents=True)
    (tmp_path / "other/stages/__init__.py").write_text('"""Another version."""\n')
    done = _ask(registered, tmp_path, f"import sys; sys.path.insert(0, '{tmp_path}/other'); import stages\n{ASK}")
    assert done.returncode != 0
    assert "this process runs another stages" in done.stderr


def test_changed_weights_are_refused(mlflow_here: Registered, tmp_path: Path) -> None:
    folder = fetch.fetch(MlflowClient(mlflow_here.uri), "tiny", tmp_path).folder
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    done = _ask(mlflow_here, tmp_path, uri=str(folder))
    assert done.returncode != 0
    assert "is not the file that was registered" in done.stderr
