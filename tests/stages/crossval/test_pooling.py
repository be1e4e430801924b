"""Each fold, the mean and the pooled ranking are scikit-learn's; intervals hold what they promise."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from stages.artifacts.cohort import Task
from stages.artifacts.crossval import CHOSEN_ON, JUDGED
from stages.crossval.pooling import pool
from stages.evaluate.params import EvaluateParams

SECTION = EvaluateParams(resamples=400)
NAMES = {Task.BINARY: ("normal", "sick"), Task.MULTICLASS: ("a", "b", "c"), Task.MULTILABEL: ("a", "b", "c")}


def table(task=Task.BINARY, *, folds=3, patients=30, images=2, seed=0, shift=0.0, gain=1.0):
    """Predictions of ``folds`` models; ``shift`` moves the scores of each further than those of the one before."""
    random = np.random.default_rng(seed)
    count, names = patients * images, NAMES[task]
    parts = []
    for fold in range(1, folds + 1):
        for role, of in ((JUDGED, fold), (CHOSEN_ON, fold % folds + 1)):
            person = np.repeat(np.arange(patients), images)
            skill = np.random.default_rng([seed, of]).normal(0, 1, (patients, 3))[person]
            if task is Task.MULTILABEL:
                labels = (skill > 0).astype(float)
                logits = gain * (2 * labels - 1) + random.normal(0, 1.5, labels.shape) + skill / 2
                scores = 1 / (1 + np.exp(-logits))
                labels[random.random(labels.shape) < 0.1] = np.nan
            elif task is Task.MULTICLASS:
                labels = np.eye(3)[skill.argmax(axis=1)]
                scores = np.exp(gain * labels + random.normal(0, 1, labels.shape))
                scores /= scores.sum(axis=1, keepdims=True)
            else:
                sick = (skill[:, 0] > 0).astype(float)
                labels = np.column_stack([1 - sick, sick])
                score = 1 / (1 + np.exp(-(gain * sick + random.normal(0, 1, count) + skill[:, 1] / 2 + shift * fold)))
                scores = np.column_stack([1 - score, score])
            keys = {
                "image": [f"{of}/{n}" for n in range(count)],
                "patient": [f"{of}/{n}" for n in person],
                "batch": "a",
                "fold": fold,
                "role": role,
            }
            keys |= {f"label:{name}": labels[:, k] for k, name in enumerate(names)}
            keys |= {f"score:{name}": scores[:, k] for k, name in enumerate(names)}
            parts.append(pd.DataFrame(keys))
    return pd.concat(parts, ignore_index=True)


def counted(task):
    return NAMES[task][1:] if task is Task.BINARY else NAMES[task]


def by_sklearn(judged, called, task):
    """Metrics of some images: ``called`` is by class, with ``judged``'s index."""
    found = {name: [] for name in ("auroc", "auprc", "sensitivity", "specificity")}
    for name in counted(task):
        known = judged[f"label:{name}"].notna()
        label, score, call = judged.loc[known, f"label:{name}"], judged.loc[known, f"score:{name}"], called[name][known]
        found["auroc"].append(sk.roc_auc_score(label, score))
        found["auprc"].append(sk.average_precision_score(label, score))
        found["sensitivity"].append(sk.recall_score(label, call))
        found["specificity"].append(sk.recall_score(label, call, pos_label=0))
    return {name: float(np.mean(values)) for name, values in found.items()}


def called(judged, cuts):
    return {name: judged[f"score:{name}"] >= cut for name, cut in cuts.items()}


@pytest.mark.parametrize("task", list(Task))
def test_every_fold_the_mean_and_the_pooled_ranking_are_sklearns(task):
    frame = table(task, shift=0.5)
    found = pool(frame, task, NAMES[task], SECTION, 7)
    judged = frame[frame["role"] == JUDGED]
    parts, calls = [], []
    for fold in found["folds"]:
        side = judged[judged["fold"] == fold["fold"]]
        calls.append(called(side, fold["thresholds"]))
        parts.append(by_sklearn(side, calls[-1], task))
        assert {name: fold[name]["value"] for name in parts[-1]} == pytest.approx(parts[-1], abs=1e-6)
        assert (fold["images"], fold["patients"]) == (60, 30)
    means = {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}
    assert {name: found["mean"][name]["value"] for name in means} == pytest.approx(means, abs=1e-6)
    spread = {name: found["spread"][name] for name in means}
    for name, one in spread.items():
        values = [part[name] for part in parts]
        assert one == pytest.approx({"sd": np.std(values, ddof=1), "min": min(values), "max": max(values)}, abs=1e-6)
    whole = by_sklearn(judged, {name: pd.concat([call[name] for call in calls]) for name in counted(task)}, task)
    assert {name: found["pooled"][name]["value"] for name in whole} == pytest.approx(whole, abs=1e-6)
    assert (found["images"], found["patients"]) == (180, 90)


def test_thresholds_are_those_of_the_fold_that_chose():
    """By Youden's rule as scikit-learn's ROC curve has it."""
    frame = table(shift=1.0)
    found = pool(frame, Task.BINARY, NAMES[Task.BINARY], SECTION, 7)
    for fold in found["folds"]:
        side = frame[(frame["fold"] == fold["fold"]) & (frame["role"] == CHOSEN_ON)]
        fpr, tpr, cuts = sk.roc_curve(side["label:sick"], side["score:sick"], drop_intermediate=False)
        assert fold["thresholds"]["sick"] == pytest.approx(cuts[np.argmax(tpr - fpr)], abs=1e-6)


def test_models_that_are_calibrated_apart_lower_the_pooled_ranking_alone():
    near, apart = (
        pool(table(shift=shift, patients=100), Task.BINARY, NAMES[Task.BINARY], SECTION, 7) for shift in (0.0, 3.0)
    )
    assert near["mean"]["auroc"]["value"] == pytest.approx(apart["mean"]["auroc"]["value"])
    assert near["pooled"]["auroc"]["value"] == pytest.approx(near["mean"]["auroc"]["value"], abs=0.03)
    assert apart["pooled"]["auroc"]["value"] < apart["mean"]["auroc"]["value"] - 0.05


def _delong_variance(label, score):
    """DeLong, DeLong and Clarke-Pearson 1988, pair by pair; each image of another patient."""
    positive, negative = score[label == 1], score[label == 0]
    kernel = (positive[:, None] > negative[None]) + 0.5 * (positive[:, None] == negative[None])
    return kernel.mean(axis=1).var(ddof=1) / len(positive) + kernel.mean(axis=0).var(ddof=1) / len(negative)


def test_delongs_interval_of_the_mean_is_that_of_independent_folds():
    frame = table(images=1, patients=60)
    found = pool(frame, Task.BINARY, NAMES[Task.BINARY], SECTION, 7)["mean"]
    sides = [side for _, side in frame[frame["role"] == JUDGED].groupby("fold")]
    variance = sum(_delong_variance(s["label:sick"].to_numpy(), s["score:sick"].to_numpy()) for s in sides) / 9
    reach = 1.959964 * np.sqrt(variance)
    value = found["auroc"]["value"]
    expected = {"value": value, "low": value - reach, "high": value + reach}
    assert found["delong"]["auroc"] == pytest.approx(expected, abs=2e-6)
    assert found["auroc"]["high"] - found["auroc"]["low"] == pytest.approx(2 * reach, rel=0.25)


def test_intervals_hold_the_true_value_about_as_often_as_they_say():
    """Of the mean over folds, of patients who have three images each, by either method."""
    section = EvaluateParams(resamples=200)
    truth = table(folds=3, patients=20000, images=1, seed=1, gain=1.5)
    truth = truth[truth["role"] == JUDGED]
    true = sk.roc_auc_score(truth["label:sick"], truth["score:sick"])
    held = {"bootstrap": 0, "delong": 0}
    for seed in range(150):
        found = pool(
            table(patients=40, images=3, seed=1000 + seed, gain=1.5), Task.BINARY, NAMES[Task.BINARY], section, seed
        )["mean"]
        for name, entry in (("bootstrap", found["auroc"]), ("delong", found["delong"]["auroc"])):
            held[name] += entry["low"] <= true <= entry["high"]
    assert 0.88 <= held["bootstrap"] / 150 <= 0.995  # four standard errors around 0.95
    assert 0.88 <= held["delong"] / 150 <= 0.995


def test_a_metric_that_a_fold_has_not_is_null_and_not_averaged_over_the_others():
    frame = table()
    lacking = (frame["role"] == JUDGED) & (frame["fold"] == 2)
    frame.loc[lacking, ["label:normal", "label:sick"]] = [1.0, 0.0]
    found = pool(frame, Task.BINARY, NAMES[Task.BINARY], SECTION, 7)
    nothing = {"value": None, "low": None, "high": None}
    assert found["folds"][1]["auroc"] == nothing
    assert found["mean"]["auroc"] == nothing
    assert found["mean"]["delong"]["auroc"] == nothing
    assert found["spread"]["auroc"] == {"sd": None, "min": None, "max": None}
    assert found["pooled"]["auroc"]["value"] is not None


def test_the_same_seed_gives_the_same_numbers_and_the_order_of_rows_none():
    frame = table()
    first = pool(frame, Task.BINARY, NAMES[Task.BINARY], SECTION, 7)
    assert pool(frame, Task.BINARY, NAMES[Task.BINARY], SECTION, 7) == first
    other = pool(frame, Task.BINARY, NAMES[Task.BINARY], SECTION, 8)
    assert other["mean"]["auroc"]["value"] == first["mean"]["auroc"]["value"]
    assert other["mean"]["auroc"] != first["mean"]["auroc"]
