"""`radrepro predict`."""

import csv
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from pydicom import dcmread

from pipeline.serving import command, fetch
from pipeline.serving.command import Form
from pipeline.tracking import registry
from stages.runtime import UserError
from tests.dicom_files import make_dicom
from tests.pipeline.serving.conftest import CHAIN, CLASSES, GOOD, Registered

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("workspace")]


def _expected(registered: Registered, name: str) -> list[list[float]]:
    return registered.expected(registered.images(name)).tolist()


def test_csv_has_a_line_for_every_image_and_every_refused_file(
    mlflow_here: Registered, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = workspace / "export"
    make_dicom(export / "hand", BodyPartExamined="HAND")
    (export / "letter").write_text("to whom it may concern")
    with zipfile.ZipFile(export / "more.zip", "w") as archive:
        archive.write(mlflow_here.files["rle"], "inner/image")
    said = command.predict("tiny", [mlflow_here.files["cine"], export], Form.CSV, None)
    assert said == "tiny/1: 4 images of 2 files, 2 files refused"
    told = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(told.out)))
    cine = str(mlflow_here.files["cine"])
    assert [(row["path"], row["frame"]) for row in rows] == [
        (cine, "0"),
        (cine, "2"),
        (cine, "4"),
        (f"{export}/hand", ""),
        (f"{export}/letter", ""),
        (f"{export}/more.zip/inner/image", "0"),
    ]
    answered = [row for row in rows if row["frame"]]
    found = [[float(row[f"probability:{name}"]) for name in CLASSES] for row in answered]
    assert np.array(found) == pytest.approx(
        np.array(_expected(mlflow_here, "cine") + _expected(mlflow_here, "rle")), abs=1e-6
    )
    assert all(row["decision"] in CLASSES and row["chain_sha256"] == CHAIN for row in answered)
    assert rows[3]["refused"].startswith("OUT_OF_DOMAIN (body part HAND; trained on DX of CHEST)")
    assert f"{export}/letter: NOT_DICOM" in told.err


def test_json_of_many_files_is_in_their_order(mlflow_here: Registered, workspace: Path) -> None:
    names = [name for name in GOOD if name != "cine"] * 5
    said = command.predict(
        "tiny@champion", [mlflow_here.files[name] for name in names], Form.JSON, workspace / "answers.json"
    )
    assert said == f"tiny/1: {len(names)} images of {len(names)} files, 0 files refused"
    told = json.loads((workspace / "answers.json").read_text())
    assert [Path(item["path"]).name for item in told] == names
    for item in told:
        (expected,) = _expected(mlflow_here, Path(item["path"]).name)
        assert [item[f"probability:{name}"] for name in CLASSES] == pytest.approx(expected, abs=1e-6)
        assert item["model"] == "tiny/1"
        assert item["decision"] == [CLASSES[int(np.argmax(expected))]]


def test_a_structured_report_for_every_file(mlflow_here: Registered, workspace: Path) -> None:
    with pytest.raises(UserError, match="--to"):
        command.predict("tiny/1", [mlflow_here.files["plain"]], Form.SR, None)
    files = [mlflow_here.files[name] for name in ("plain", "cine")]
    said = command.predict("tiny/1", files, Form.SR, workspace / "reports")
    assert said == "tiny/1: 4 images of 2 files, 0 files refused"
    reports = [dcmread(path) for path in (workspace / "reports").iterdir()]
    assert {report.StudyInstanceUID for report in reports} == {dcmread(path).StudyInstanceUID for path in files}
    assert {report.Modality for report in reports} == {"SR"}


def test_if_every_file_is_refused_that_is_an_error(
    mlflow_here: Registered, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    letter = workspace / "letter"
    letter.write_text("to whom it may concern")
    with pytest.raises(UserError, match="tiny/1 has no answer: every file was refused"):
        command.predict("tiny", [letter], Form.JSON, None)
    told = capsys.readouterr()
    assert "NOT_DICOM" in told.err
    assert json.loads(told.out)[0]["refused"].startswith("NOT_DICOM")


def test_what_is_not_there_is_said_before_any_work(workspace: Path) -> None:
    """No model is asked for: there is none of this name."""
    with pytest.raises(UserError, match=r"absent: no such file$"):
        command.predict("none", [workspace / "absent"], Form.JSON, None)
    for form in (Form.JSON, Form.CSV):
        with pytest.raises(UserError, match=r"there is no folder .*nowhere: make it first"):
            command.predict("none", [workspace], form, workspace / "nowhere/x")
        with pytest.raises(UserError, match="is a folder: name a file in it"):
            command.predict("none", [workspace], form, workspace)


def test_the_models_own_code_answers_and_not_what_the_code_has_become(
    mlflow_here: Registered, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetched = fetch.fetch(MlflowClient(mlflow_here.uri), "tiny", workspace)
    columns = fetched.folder / "code/pipeline/serving/columns.py"
    columns.write_text(columns.read_text().replace('"decision": list', '"of_old": list'))
    ((row,),) = command.answers(fetched, [str(mlflow_here.files["plain"])])
    assert "of_old" in row


@pytest.mark.parametrize("model", ["tiny/9", "tiny@absent", "absent", "absent/1", "a/b/c", "tiny@"])
def test_a_model_that_is_not_there_is_one_clear_line(mlflow_here: Registered, model: str) -> None:
    with pytest.raises(UserError, match=r"has no model|is no model"):
        command.predict(model, [mlflow_here.files["plain"]], Form.CSV, None)


@pytest.mark.parametrize("model", ["tiny", "tiny/1", "tiny@champion", "models:/tiny/1"])
def test_a_model_is_named_as_in_mlflow(mlflow_here: Registered, model: str) -> None:
    assert str(registry.find_named(MlflowClient(mlflow_here.uri), model).version) == "1"


def test_a_name_alone_is_its_champion_and_without_one_its_newest(mlflow_here: Registered) -> None:
    client = MlflowClient(mlflow_here.uri)
    first = client.get_model_version("tiny", "1")
    client.create_registered_model("other")
    for _ in range(11):
        client.create_model_version("other", source=first.source)
    assert str(registry.find_named(client, "other").version) == "11"
    client.set_registered_model_alias("other", "champion", "2")
    assert str(registry.find_named(client, "other").version) == "2"


def test_damaged_weights_are_one_clear_line(mlflow_here: Registered, workspace: Path) -> None:
    fetched = fetch.fetch(MlflowClient(mlflow_here.uri), "tiny", workspace)
    (fetched.folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"tiny/1 cannot be asked: .* is not a whole safetensors file"):
        list(command.answers(fetched, [str(mlflow_here.files["plain"])]))
