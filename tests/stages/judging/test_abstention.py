"""Risk against coverage: by a loop, by known answers, and its error by resampling."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from stages.artifacts.cohort import Task
from stages.judging import abstention, bootstrap
from stages.judging.metrics import Judged
from tests.stages.judging.made import made

CUTS = {"sick": 0.35, "pneumonia": 0.4, "effusion": 0.6}


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=40))
def test_risk_is_the_error_of_all_that_are_as_sure_or_surer(pairs):
    wrong, sure = np.array([w for w, _ in pairs]), np.array([s for _, s in pairs], dtype=float)
    found = abstention.risk(wrong, sure)
    for place, value in enumerate(np.sort(sure)[::-1]):
        assert found[place] == pytest.approx(wrong[sure >= value].mean())


def test_known_areas():
    sure = np.arange(4.0)
    right, wrong = np.zeros(4, dtype=bool), np.ones(4, dtype=bool)
    assert abstention.risk(right, sure).mean() == 0
    assert abstention.risk(wrong, sure).mean() == 1
    # the least sure image alone is wrong: 0, 0, 0, 1/4; the surest alone: 1, 1/2, 1/3, 1/4
    assert abstention.risk(sure == 0, sure).mean() == pytest.approx(1 / 16)
    assert abstention.risk(sure == 3, sure).mean() == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)


@pytest.mark.parametrize("task", list(Task))
def test_at_full_coverage_it_is_the_error_of_the_decisions_that_the_metrics_judge(task):
    images, _, patients = made(task, 300)
    found = abstention.judge(images, CUTS, bootstrap.resample(patients, 100, 1))
    curve = abstention.curve(images, CUTS)
    if task is Task.MULTICLASS:
        error = 1 - sk.accuracy_score(images.labels.argmax(1), images.scores.argmax(1))
    else:
        errors = []
        for k in images.columns:
            known = ~np.isnan(images.labels[:, k])
            called = images.scores[known, k] >= CUTS[images.classes[k]]
            errors.append(1 - sk.accuracy_score(images.labels[known, k], called))
        error = np.mean(errors)
    assert found["risk"]["1.0"]["value"] == pytest.approx(error, abs=1e-6)
    assert list(found["risk"]) == ["1.0", "0.9", "0.8", "0.7", "0.5"]
    assert found["risk"]["0.5"]["value"] < found["risk"]["1.0"]["value"]
    assert curve[curve["coverage"] == 1]["risk"].mean() == pytest.approx(error, abs=1e-6)
    assert curve[curve["coverage"] == 0.5]["risk"].mean() == pytest.approx(found["risk"]["0.5"]["value"], abs=1e-6)
    assert set(curve["class"]) == (set(images.classes) if task is Task.MULTILABEL else {"all"})


def test_images_at_the_threshold_are_the_least_sure_on_both_sides():
    scores = np.array([0.0, 0.1, 0.19, 0.2, 0.21, 0.6, 1.0])
    labels = (scores > 0.2).astype(float)
    images = Judged(Task.BINARY, ("normal", "sick"), np.c_[1 - labels, labels], np.c_[1 - scores, scores])
    ((_, _, wrong, sure),) = abstention._decided(images, {"sick": 0.2})
    assert sure.tolist() == pytest.approx([1, 0.5, 0.05, 0, 0.0125, 0.5, 1])
    assert wrong.tolist() == [False] * 3 + [True] + [False] * 3
    ((_, _, _, sure),) = abstention._decided(images, {"sick": 0.0})
    assert sure.tolist() == pytest.approx(scores.tolist())
    ((_, _, _, sure),) = abstention._decided(images, {"sick": 1.0})
    assert sure[-1] == 0


@pytest.mark.parametrize("each", [1, 5])
def test_the_error_of_the_area_is_that_of_resampled_patients(each):
    images, _, patients = made(Task.MULTICLASS, 500, each=each)
    drawn = bootstrap.resample(patients, 400, 1)
    ((_, _, wrong, sure),) = abstention._decided(images, {})
    areas = []
    for counts in drawn.counts[1:]:
        rows = np.repeat(np.arange(500), counts[drawn.member])
        areas.append(abstention.risk(wrong[rows], sure[rows]).mean())
    found = abstention.judge(images, {}, drawn)
    assert found["area"]["value"] == pytest.approx(abstention.risk(wrong, sure).mean(), abs=1e-6)
    assert found["area"]["high"] - found["area"]["low"] == pytest.approx(2 * 1.96 * np.std(areas), rel=0.12)


def test_the_interval_of_a_risk_is_of_resampled_patients():
    images, _, patients = made(Task.BINARY, 200, each=4)
    drawn = bootstrap.resample(patients, 300, 1)
    ((_, _, wrong, sure),) = abstention._decided(images, CUTS)
    decided = sure >= np.sort(sure)[::-1][99]
    risks = []
    for counts in drawn.counts[1:]:
        rows = np.repeat(np.arange(200), counts[drawn.member])
        risks.append(wrong[rows][decided[rows]].mean())
    found = abstention.judge(images, CUTS, drawn)
    low, high = np.percentile(risks, (2.5, 97.5))
    assert found["risk"]["0.5"] == pytest.approx({"value": wrong[decided].mean(), "low": low, "high": high}, abs=1e-6)


def test_no_error_at_all_is_no_proof_of_none():
    labels = np.eye(2)[[0, 1] * 5]
    images = Judged(Task.BINARY, ("normal", "sick"), labels, labels * 0.8 + 0.1)
    found = abstention.judge(images, {"sick": 0.5}, bootstrap.resample([str(n) for n in range(10)], 50, 1))
    none_of_ten = {"value": 0, "low": 0, "high": pytest.approx(0.308497, abs=1e-6)}
    assert found["risk"]["1.0"] == none_of_ten
    assert found["area"] == none_of_ten


def test_over_labels_it_is_the_mean_and_an_unknown_one_has_no_say():
    images, _, patients = made(Task.MULTILABEL, 200)
    drawn = bootstrap.resample(patients, 100, 1)
    found = abstention.judge(images, CUTS, drawn)
    each = list(found["per_class"].values())
    assert found["area"]["value"] == pytest.approx(np.mean([entry["area"]["value"] for entry in each]), abs=1e-6)
    known = ~np.isnan(images.labels[:, 0])
    alone = Judged(Task.MULTILABEL, images.classes[:1], images.labels[known, :1], images.scores[known, :1])
    assert abstention.judge(alone, CUTS, drawn.part(known))["per_class"]["pneumonia"]["risk"] == each[0]["risk"]
    images.labels[:, 1] = np.nan
    lost, curve = abstention.judge(images, CUTS, drawn), abstention.curve(images, CUTS)
    assert lost["per_class"]["effusion"]["area"]["value"] is None
    assert lost["per_class"]["effusion"]["risk"]["0.5"]["value"] is None
    assert lost["per_class"]["pneumonia"] == found["per_class"]["pneumonia"]
    assert curve[curve["class"] == "effusion"]["risk"].isna().all()
