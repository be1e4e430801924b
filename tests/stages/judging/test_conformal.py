"""Sets hold the truth as often as promised: of new patients, in the long run, however many images each has."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.artifacts.cohort import Task
from stages.judging import bootstrap, conformal
from stages.judging.metrics import Judged
from tests.stages.judging.made import made


def _calibrated(images, patients, coverage=0.9):
    return conformal.calibrate(images, np.unique(patients, return_inverse=True)[1], coverage)


@given(
    values=st.lists(st.integers(0, 10**6).map(lambda n: n / 10**6), min_size=1, max_size=60),
    coverage=st.sampled_from([0.5, 0.8, 0.9, 0.95]),
)
def test_with_one_image_of_each_patient_it_is_the_usual_quantile(values, coverage):
    rank = math.ceil((len(values) + 1) * coverage - 1e-9)
    expected = sorted(values)[rank - 1] if rank <= len(values) else 1.0
    assert conformal.quantile(np.array(values), np.arange(len(values)), coverage) == pytest.approx(expected, abs=1.1e-6)


def test_a_patient_counts_once_however_many_images_there_are():
    values, patients = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 1, 2, 3])
    many = np.repeat([0.9], 50)
    # three of four patients stay at 0.3 or below: 3 / 5 of the weight
    assert conformal.quantile(np.r_[values[:3], many], np.r_[patients[:3], np.full(50, 3)], 0.6) == 0.3
    # half of a patient's images are half a patient
    assert conformal.quantile(np.r_[values, 0.35], np.r_[patients, 3], 0.7) == 0.35


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize(("coverage", "each"), [(0.8, 1), (0.9, 4)])
def test_coverage_is_what_was_promised(task, coverage, each):
    """Over many draws of val and test; of a model that is far too sure of itself, which is none of its business."""
    held = []
    for seed in range(120):
        images, _, patients = made(task, 160, seed=seed, overconfidence=4, each=each)
        val, test = (
            Judged(task, images.classes, images.labels[s], images.scores[s]) for s in (slice(80), slice(80, 160))
        )
        calibrated = _calibrated(val, patients[:80], coverage)
        found = conformal.judge(test, calibrated, bootstrap.resample(patients[80:], 1, 1))
        held.append(found["coverage"]["value"])
    error = np.std(held) / math.sqrt(len(held))
    patients_of_val = 80 / each
    assert np.mean(held) >= coverage - 3 * error
    assert (
        np.mean(held) <= coverage + 1 / (patients_of_val * (0.8 if task is Task.MULTILABEL else 1)) + 3 * error + 0.01
    )


@pytest.mark.parametrize("task", list(Task))
def test_what_is_reported_is_what_a_loop_counts(task):
    images, _, patients = made(task, 120, each=3)
    calibrated = _calibrated(images, patients, 0.8)
    found = conformal.judge(images, calibrated, bootstrap.resample(patients, 50, 1))
    questions = range(2) if task is Task.MULTILABEL else [None]
    overall = []
    for k in questions:
        by_patient: dict[str, list[tuple[bool, int]]] = {}
        for row, patient in enumerate(patients):
            if k is None:
                q, answers = calibrated["quantiles"]["all"], images.scores[row]
                truth = int(images.labels[row].argmax())
            else:
                if np.isnan(images.labels[row, k]):
                    continue
                q = calibrated["quantiles"][images.classes[k]]
                answers = np.array([1 - images.scores[row, k], images.scores[row, k]])
                truth = int(images.labels[row, k])
            inside = [a for a, p in enumerate(answers) if p >= 1 - q]
            by_patient.setdefault(patient, []).append((truth in inside, len(inside)))
        means = [
            np.mean([(held, size, size == 1, size == 0) for held, size in of], axis=0) for of in by_patient.values()
        ]
        overall.append(np.mean(means, axis=0))
    for at, name in enumerate(("coverage", "size", "single", "empty")):
        assert found[name]["value"] == pytest.approx(np.mean(overall, axis=0)[at], abs=1e-6)


@pytest.mark.parametrize("task", list(Task))
def test_the_whole_lies_between_its_groups(task):
    images, _, patients = made(task, 120, each=4)
    found = conformal.judge(images, _calibrated(images, patients, 0.8), bootstrap.resample(patients, 20, 1))
    several = task is Task.MULTILABEL
    for whole in found["per_class"].values() if several else [found]:
        groups = [whole["yes"], whole["no"]] if several else list(whole["per_class"].values())
        for fact in conformal.FACTS:
            values = [group[fact]["value"] for group in groups]
            assert min(values) - 1e-6 <= whole[fact]["value"] <= max(values) + 1e-6


def test_each_class_has_its_own_coverage():
    """A rare class can be left out of nearly every set while the promise is kept on average."""
    labels = np.eye(2)[[0] * 95 + [1] * 5]
    scores = np.tile([0.9, 0.1], (100, 1))
    images = Judged(Task.BINARY, ("normal", "sick"), labels, scores)
    patients = [f"p{n}" for n in range(100)]
    found = conformal.judge(images, _calibrated(images, patients), bootstrap.resample(patients, 50, 1))
    assert found["coverage"]["value"] == 0.95
    assert found["per_class"]["normal"]["coverage"]["value"] == 1
    assert found["per_class"]["sick"]["coverage"]["value"] == 0
    assert found["per_class"]["sick"]["coverage"]["high"] == pytest.approx(1 - 0.025 ** (1 / 5), abs=1e-6)
    assert found["single"]["value"] == 1


def test_too_few_patients_to_promise_anything_give_sets_of_everything():
    images, _, patients = made(Task.MULTICLASS, 8)
    calibrated = _calibrated(images, patients, 0.9)
    assert calibrated == {"method": "lac", "coverage": 0.9, "quantiles": {"all": 1.0}}
    assert conformal.sets(images.scores, 1.0).all()
    nine, _, names = made(Task.MULTICLASS, 9)
    assert _calibrated(nine, names, 0.9)["quantiles"]["all"] < 1


@pytest.mark.parametrize("task", list(Task))
def test_the_quantile_that_is_written_down_covers_its_own_images(task):
    """Rounded up: val itself is covered as often as promised."""
    images, _, patients = made(task, 200, overconfidence=3)
    found = conformal.judge(images, _calibrated(images, patients), bootstrap.resample(patients, 1, 1))
    assert found["coverage"]["value"] >= 0.9


def test_a_label_nobody_knows_stops_nothing():
    images, _, patients = made(Task.MULTILABEL, 60)
    images.labels[:, 1] = np.nan
    calibrated = _calibrated(images, patients)
    found = conformal.judge(images, calibrated, bootstrap.resample(patients, 20, 1))
    assert calibrated["quantiles"]["effusion"] == 1
    assert found["per_class"]["effusion"]["coverage"]["value"] is None
    assert found["per_class"]["pneumonia"]["coverage"]["value"] is not None
