"""The structured report says what the model said, of whom, and by what; and it is valid DICOM."""

import shutil
import subprocess
from pathlib import Path

import highdicom
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.sr.codedict import codes

from pipeline.serving import structured_report
from stages.runtime import UserError
from tests.dicom_files import chest, make_dicom

PROBABILITIES = {"normal": 0.25, "pneumonia": 0.5123456789, "effusion": 1e-9}
ROW = {
    "row": 0,
    "frame": 0,
    **{f"probability:{name}": value for name, value in PROBABILITIES.items()},
    "decision": ["pneumonia"],
    "above_threshold": ["pneumonia", "normal"],
    "prediction_set": ["pneumonia"],
    "model": "tiny/3",
    "recipe": "fine_tune",
    "model_sha256": "a" * 64,
    "chain_sha256": "b" * 64,
}
PERSON = {"PatientName": "Doe^Jane", "PatientBirthDate": "19500102", "PatientSex": "F", "AccessionNumber": "7"}
PERSON |= {"StudyDate": "20260102", "StudyTime": "101112", "StudyID": "7"}


def _report(folder: Path, rows: list[dict], **attributes: object) -> tuple[highdicom.sr.Comprehensive3DSR, Path]:
    image = make_dicom(folder / "image", **PERSON | attributes)
    path = structured_report.write(str(folder / "image"), rows, folder)
    report = highdicom.sr.srread(path)
    assert report.StudyInstanceUID == image.StudyInstanceUID
    return report, path


def test_it_holds_every_probability_and_what_was_said(tmp_path: Path) -> None:
    report, path = _report(tmp_path, [ROW])
    (group,) = report.content.get_image_measurement_groups()
    found = {measured.name.value: measured.value for measured in group.get_measurements()}
    assert found == pytest.approx({f"P-{name}": value for name, value in PROBABILITIES.items()}, rel=1e-6)
    assert {measured.unit for measured in group.get_measurements()} == {codes.UCUM.NoUnits}
    said = [(item.name.value, item.value.value) for item in group.get_qualitative_evaluations()]
    assert said == [
        ("decision", "pneumonia"),
        ("above_threshold", "pneumonia"),
        ("above_threshold", "normal"),
        ("prediction_set", "pneumonia"),
    ]
    assert path.name == f"{report.SOPInstanceUID}.dcm"


def test_it_names_the_algorithm_with_its_version_and_the_hash_of_its_chain(tmp_path: Path) -> None:
    report, _ = _report(tmp_path, [ROW])
    (group,) = report.content.get_image_measurement_groups()
    texts = [str(item.TextValue) for item in group[0].ContentSequence if item.ValueType == "TEXT"]
    assert {"tiny", "3", f"chain sha256={'b' * 64}", f"model sha256={'a' * 64}", "recipe=fine_tune"} <= set(texts)
    assert "research software, not a medical device" in texts


def test_it_is_about_the_image_and_its_patient_and_nobody_has_verified_it(tmp_path: Path) -> None:
    report, _ = _report(tmp_path, [ROW])
    image = dcmread(tmp_path / "image")
    (group,) = report.content.get_image_measurement_groups()
    assert [source.referenced_sop_instance_uid for source in group.source_images] == [image.SOPInstanceUID]
    assert (report.PatientName, report.PatientID) == (image.PatientName, image.PatientID)
    assert (report.VerificationFlag, report.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")


def test_of_a_cine_each_group_names_its_frame(tmp_path: Path) -> None:
    rows = [ROW, ROW | {"frame": 2}]
    report, _ = _report(tmp_path, rows, pixels=np.stack([chest(seed) for seed in range(3)]))
    groups = report.content.get_image_measurement_groups()
    assert [group.source_images[0].referenced_frame_numbers for group in groups] == [[1], [3]]


def test_without_a_prediction_set_there_is_none(tmp_path: Path) -> None:
    report, _ = _report(tmp_path, [ROW | {"prediction_set": None}])
    (group,) = report.content.get_image_measurement_groups()
    assert "prediction_set" not in {item.name.value for item in group.get_qualitative_evaluations()}


def test_an_image_that_nothing_can_refer_to_gets_none(tmp_path: Path) -> None:
    make_dicom(tmp_path / "image", SeriesInstanceUID=None)
    with pytest.raises(UserError, match="no SeriesInstanceUID"):
        structured_report.write(str(tmp_path / "image"), [ROW], tmp_path)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        dict.fromkeys([*PERSON, "PatientID"]),
        {"PatientName": "Müller^Jürgen", "SpecificCharacterSet": "ISO_IR 100"},
    ],
)
def test_dciodvfy_finds_no_error(tmp_path: Path, attributes: dict) -> None:
    if not shutil.which("dciodvfy"):
        pytest.skip("dciodvfy is not here: install dicom3tools to have the report validated")
    long_name = "a class with a name that is much longer than what a code value of DICOM may have, and its meaning"
    rows = [ROW | {f"probability:{long_name}": 0.5, "decision": [long_name]}]
    _, path = _report(tmp_path, rows, **attributes)
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).splitlines()
    assert "Comprehensive3DSR" in said
    allowed = [f"Warning - Unrecognized defined term <{structured_report.SCHEME}>"]  # of every private scheme
    if None in attributes.values():
        allowed.append("Warning - Missing attribute or value that would be needed to build DICOMDIR")
    assert [line for line in said if line != "Comprehensive3DSR" and not line.startswith(tuple(allowed))] == []
    assert done.returncode == 0
