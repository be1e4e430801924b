"""What the report says of probabilities is what was judged, for every task, and can be drawn."""

import json

import numpy as np
import pytest

from stages.artifacts.cohort import Task
from stages.evaluate import abstention_section, calibration_section, conformal_section
from stages.judging import abstention, bootstrap, calibration, conformal
from stages.reports import page
from stages.reports.page import Page
from tests.stages.judging.made import made

CUTS = {"sick": 0.35, "pneumonia": 0.4, "effusion": 0.6}


@pytest.fixture(params=[*Task, "a label unknown"])
def judged(request):
    task = request.param if request.param in list(Task) else Task.MULTILABEL
    images, logits, patients = made(task, 200, overconfidence=2, each=2)
    if request.param not in list(Task):
        images.labels[:, 1] = np.nan
    drawn = bootstrap.resample(patients, 60, 1)
    sets = conformal.calibrate(images, drawn.member, 0.9)
    return {
        "calibration": (
            calibration.judge(images, logits, 2.0, drawn),
            calibration.diagram(images, logits, 2.0, drawn.member),
        ),
        "conformal": (conformal.judge(images, sets, drawn), sets),
        "abstention": (abstention.judge(images, CUTS, drawn), abstention.curve(images, CUTS)),
    }


def _whole(judged) -> Page:
    (found, diagram), (covered, sets), (risks, curve) = judged.values()
    return Page(
        title="Probabilities",
        lead="",
        facts=[],
        figures=[calibration_section.figure(diagram), abstention_section.figure(curve, risks)],
        tables=[
            calibration_section.table(found),
            calibration_section.parts(found),
            conformal_section.table(covered, sets),
            abstention_section.table(risks),
        ],
        notes=[*calibration_section.notes(2.0, "fitted"), *conformal_section.notes(covered, sets)],
    )


def test_it_makes_a_page(judged, tmp_path):
    whole = _whole(judged)
    page.write(tmp_path / "report.html", whole)  # refuses what is no JSON, as NaN
    text = (tmp_path / "report.html").read_text()
    for table in whole.tables:
        assert all(len(row) == len(table.head) for row in table.rows)
        assert table.title in text
    assert "nan" not in json.dumps([table.rows for table in whole.tables]).lower()
    json.dumps({name: found[0] for name, found in judged.items()}, allow_nan=False)


def test_numbers_are_those_judged(judged):
    (found, diagram), (covered, sets), (risks, curve) = judged.values()
    rows = {row[0]: row for row in calibration_section.table(found).rows}
    for name, entry in found["per_class"].items():
        if entry["ece"]["value"] is None:
            assert rows[name][1] == "-\n-"
            continue
        before = found["uncalibrated"]["per_class"][name]
        now, then = rows[name][1].split("\n")
        assert now.startswith(f"{entry['ece']['value']:.3f} [")
        assert then.startswith(f"{before['ece']['value']:.3f} [")
        assert rows[name][3].startswith(f"{entry['slope']['value']:.3f} [")
    first = conformal_section.table(covered, sets).rows[0]
    assert first[0] == "all"
    if covered["coverage"]["value"] is not None:
        assert first[1].startswith(f"{covered['coverage']['value']:.1%} [")
    if risks["area"]["value"] is not None:
        assert abstention_section.table(risks).rows[0][-1].startswith(f"{risks['area']['value']:.3f} [")
    drawn = calibration_section.figure(diagram).data[1:]
    assert sum(len(line["x"]) for line in drawn) == len(diagram)
    lines = [part for part in abstention_section.figure(curve, risks).data if part["mode"] == "lines"]
    assert [len(line["x"]) for line in lines] == [100] * curve.dropna()["class"].nunique()


def test_a_broken_promise_is_said():
    entry = {"coverage": {"value": 0.7, "low": 0.6, "high": 0.8}}
    calibrated = {"coverage": 0.9, "quantiles": {"all": 0.8}}
    assert any("Test breaks the promise" in note for note in conformal_section.notes(entry, calibrated))
    kept = {"coverage": {"value": 0.88, "low": 0.8, "high": 0.93}}
    assert len(conformal_section.notes(kept, calibrated)) == 1
    assert len(conformal_section.notes(kept, {"coverage": 0.9, "quantiles": {"all": 1.0}})) == 2
