"""Subgroups: numbers that scikit-learn gives, a gap that was planted, none where there is none, and few left alone."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import recall_score, roc_auc_score

from stages.artifacts.cohort import Task
from stages.evaluate import subgroups_section as section
from stages.judging import subgroups
from stages.judging.metrics import Judged

CLASSES = ("normal", "sick")
CUTS = {"sick": 0.5}


def drawn(count: int, seed: int, blind: str | None = None) -> tuple[Judged, pd.DataFrame, list[str]]:
    """Two images of each patient; scores tell the sick, but not in the group ``blind`` of sex."""
    random = np.random.default_rng(seed)
    patient = np.arange(count) // 2
    sick = random.random(count // 2)[patient] < 0.4
    groups = pd.DataFrame(
        {
            "sex": random.choice(["F", "M"], count // 2)[patient],
            "view": random.choice(["AP", "PA", "LL"], count),  # several of one patient
            "batch": "one",
        }
    )
    skill = np.where(groups["sex"] == blind, 0.0, 1.5)
    score = 1 / (
        1
        + np.exp(
            -(skill * (sick - 0.5) + random.normal(size=count // 2)[patient] * 0.6 + random.normal(size=count) * 0.6)
        )
    )
    labels, scores = (np.column_stack([1 - one, one]).astype(float) for one in (sick, score))
    return Judged(Task.BINARY, CLASSES, labels, scores), groups, [f"p{n}" for n in patient]


def test_every_number_is_scikit_learns_of_these_images() -> None:
    images, groups, patients = drawn(600, 1)
    found = subgroups.judge(images, CUTS, groups, patients, 20)
    assert set(found) == {"sex", "view"}, "one batch is no subgroup"
    for attribute, parts in found.items():
        for group, entry in parts.items():
            rows = (groups[attribute] == group).to_numpy()
            values = {}
            for name, at in (("group", rows), ("rest", ~rows)):
                label, score = images.labels[at, 1], images.scores[at, 1]
                values[name] = {
                    "auroc": roc_auc_score(label, score),
                    "sensitivity": recall_score(label, score >= 0.5),
                    "specificity": recall_score(label, score >= 0.5, pos_label=0),
                }
            for metric in subgroups.METRICS:
                assert entry[metric]["value"] == pytest.approx(values["group"][metric], abs=1e-6)
                gap = values["group"][metric] - values["rest"][metric]
                assert entry[metric]["gap"]["value"] == pytest.approx(gap, abs=2e-6)
                assert entry[metric]["low"] < entry[metric]["value"] < entry[metric]["high"]
            assert entry["images"] == rows.sum()
            assert entry["patients"] == len(set(np.array(patients)[rows]))
            assert entry["positives"] == {"sick": int(images.labels[rows, 1].sum())}


def test_a_planted_gap_is_found_and_stands_after_the_adjustment() -> None:
    found = subgroups.judge(*[(part := drawn(1000, 2, blind="F"))[0], CUTS, *part[1:]], 20)
    gap = found["sex"]["F"]["auroc"]["gap"]
    assert gap["value"] < -0.2
    assert gap["flag"]
    assert gap["p_holm"] < 0.001
    others = [entry["auroc"]["gap"] for entry in found["view"].values()]
    assert all(other["p"] < other["p_holm"] or other["p_holm"] == 1 for other in others)
    assert all(other["p_holm"] > 0.05 for other in others)
    (said,) = section.notes(found)
    assert "stand: sex: F (AUROC)" in said


@pytest.mark.parametrize("count", [300, 800])
def test_where_there_is_no_gap_about_one_in_twenty_is_flagged_and_hardly_one_stands(count: int) -> None:
    flags, families, runs = [], 0, 60
    for seed in range(runs):
        images, groups, patients = drawn(count, 100 + seed)
        gaps = [
            entry[metric]["gap"]
            for parts in subgroups.judge(images, CUTS, groups, patients, 20).values()
            for entry in parts.values()
            for metric in subgroups.METRICS
            if metric in entry and entry[metric]["gap"]
        ]
        flags += [gap["flag"] for gap in gaps]
        families += any(gap["p_holm"] < 0.05 for gap in gaps)
    assert 0.01 < np.mean(flags) < 0.09
    assert families <= 9  # of 60: five in a hundred are 3, and three standard errors more


def test_a_small_group_that_is_always_right_is_not_said_to_differ() -> None:
    """All of twenty are right, and 19 in 20 of the rest: by the normal distribution the gap would exclude 0."""
    count = 1040
    sick = np.arange(count) % 2 == 0
    groups = pd.DataFrame({"sex": np.where(np.arange(count) < 40, "O", "F")})
    right = (np.arange(count) < 40) | (np.arange(count) // 2 % 20 != 0)
    scores = np.where(sick == right, 0.9, 0.1)
    images = Judged(Task.BINARY, CLASSES, *(np.column_stack([1 - s, s]).astype(float) for s in (sick, scores)))
    found = subgroups.judge(images, CUTS, groups, [f"p{n}" for n in range(count)], 20)["sex"]["O"]["sensitivity"]
    assert found["value"] == 1
    assert found["low"] == pytest.approx(0.839, abs=1e-3)  # Wilson's of 20 in 20
    assert not found["gap"]["flag"]


def test_of_few_patients_only_the_size_is_told() -> None:
    images, groups, patients = drawn(400, 3)
    groups["site"] = np.where(np.arange(400) < 40, "small", "large")
    found = subgroups.judge(images, CUTS, groups, patients, 20)["site"]
    assert set(found["small"]) == {"images", "patients", "positives"}
    assert found["small"]["patients"] == 20
    assert found["large"]["auroc"]["gap"] is None, "there are too few others to compare with"
    assert found["large"]["auroc"]["value"] is not None


def test_of_several_labels_those_count_that_the_group_and_the_rest_can_speak_of() -> None:
    random = np.random.default_rng(5)
    labels = (random.random((600, 3)) < [0.5, 0.3, 0.02]).astype(float)
    labels[random.random(labels.shape) < 0.2] = np.nan
    scores = np.clip(np.nan_to_num(labels, nan=0.5) * 0.3 + random.random(labels.shape) * 0.7, 0, 1)
    images = Judged(Task.MULTILABEL, ("a", "b", "rare"), labels, scores)
    groups = pd.DataFrame({"sex": np.where(np.arange(600) % 3 == 0, "F", "M")})
    found = subgroups.judge(images, dict.fromkeys("ab", 0.5) | {"rare": 0.5}, groups, [str(n) for n in range(600)], 20)
    rows = (groups["sex"] == "F").to_numpy()
    auroc = found["sex"]["F"]["auroc"]
    assert auroc["classes"] == ["a", "b"]
    both = []
    for k in (0, 1):
        known = rows & ~np.isnan(labels[:, k])
        both.append(roc_auc_score(labels[known, k], scores[known, k]))
    assert auroc["value"] == pytest.approx(np.mean(both), abs=1e-6)


def test_ages_are_in_bands_and_what_is_unknown_is_a_group() -> None:
    rows = pd.DataFrame({"age": [0.5, 17.9, 18, 39, 40, 79.5, 80, 90, np.nan]})
    rows = rows.assign(**{name: "x" for name in subgroups.ATTRIBUTES if name != "age"})
    rows.loc[0, "sex"] = None
    found = subgroups.attributes(rows, [18, 40, 60, 80])
    assert found["age"].tolist() == [
        *["under 18"] * 2,
        *["18 to 39"] * 2,
        "40 to 59",
        "60 to 79",
        *["80 and over"] * 2,
        "not stated",
    ]
    assert found["sex"].tolist()[:2] == ["not stated", "x"]
    assert found.columns.tolist() == list(subgroups.ATTRIBUTES)
    assert subgroups.attributes(rows, [50])["age"].tolist()[0] == "under 50"


def test_the_report_shows_every_group_and_says_which_are_too_few() -> None:
    images, groups, patients = drawn(400, 3, blind="M")
    groups["site"] = np.where(np.arange(400) < 40, "0123456789abcdef0123456789abcdef", "elsewhere")
    found = json.loads(json.dumps(subgroups.judge(images, CUTS, groups, patients, 20)))
    (figure,) = section.figure(found, {"value": 0.8, "low": 0.7, "high": 0.9}, images.counted)
    drawn_names = {name for trace in figure.data for name in trace["y"]}
    assert drawn_names == {"sex: F", "sex: M", "view: AP", "view: LL", "view: PA"}, "those compared with the rest"
    assert set(figure.data[1]["y"]) >= {"sex: F", "sex: M"}, "these differ"
    judged, small = section.tables(found, 20)
    assert {row[0] for row in judged.rows} == drawn_names | {"site: elsewhere"}
    assert [row[0] for row in small.rows] == ["site: 01234567..."]
    assert all(len(row) == len(judged.head) for row in judged.rows)
    json.dumps([figure.data, figure.layout], allow_nan=False)
    assert section.figure({}, {"value": 0.8, "low": 0.7, "high": 0.9}, images.counted) == []
    assert section.tables({}, 20) == []
    assert section.notes({}) == []


def test_bands_of_age_are_shown_from_the_youngest_and_what_is_not_stated_last() -> None:
    ages = ["80 and over", "under 18", "not stated", "18 to 39"]
    found = {"age": {age: {"images": 3, "patients": 2, "positives": {"sick": 1}} for age in ages}}
    (small,) = section.tables(found, 20)
    assert [row[0] for row in small.rows] == [f"age: {ages[at]}" for at in (1, 3, 0, 2)]
