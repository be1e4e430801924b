"""Cases and errors of every kind of task: each is what it is said to be, none is lost, nobody is named."""

import re

import numpy as np
import pandas as pd
import pytest

from stages.artifacts import errors as error_table
from stages.artifacts.cohort import Task
from stages.evaluate import cases, cases_section, errors, explain
from stages.judging.judge import Judged
from stages.reports.page import Picture

CLASSES = {Task.BINARY: ("normal", "sick"), Task.MULTICLASS: ("normal", "a", "b"), Task.MULTILABEL: ("a", "b")}


@pytest.fixture(params=list(Task))
def judged(request: pytest.FixtureRequest):
    """Of labels, some unknown; thresholds that are not 0.5."""
    random = np.random.default_rng(4)
    classes = CLASSES[request.param]
    if request.param is Task.MULTILABEL:
        labels = random.integers(0, 2, (60, 2)).astype(float)
        labels[random.random(labels.shape) < 0.2] = np.nan
        scores = random.random((60, 2))
    else:
        labels = np.eye(len(classes))[random.integers(0, len(classes), 60)]
        scores = random.dirichlet(np.ones(len(classes)), 60)
    test = Judged(request.param, classes, labels, scores)
    return test, {classes[k]: 0.3 + 0.1 * k for k in test.columns}


def _images(count: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image": [f"{n:032x}" for n in range(count)],
            "patient": [f"{n // 2:032x}" for n in range(count)],
            "batch": "north",
            "subset": "test",
            "age": [np.nan, 4.5, 67.0, 90.0] * (count // 4),
            "sex": [None, "F", "M", "F"] * (count // 4),
            **dict.fromkeys(("view", "body_part", "modality", "manufacturer"), "PA"),
            "site": "f" * 32,
        }
    )


def _truth(test: Judged, cuts: dict[str, float], row: int, k: int) -> tuple[bool | None, bool, float]:
    """Whether class k is there and is said, and the probability of what is true, by definition."""
    score, label = test.scores[row, k], test.labels[row, k]
    if test.task is Task.BINARY:
        said = (test.scores[row, 1] >= cuts["sick"]) == (k == 1)
    elif test.task is Task.MULTICLASS:
        said = score == max(test.scores[row])
    else:
        said = score >= cuts[test.classes[k]]
    return (None if np.isnan(label) else label == 1), said, score if label == 1 else 1 - score


def test_cases_are_the_most_confident_of_their_class_and_kind(judged) -> None:
    test, cuts = judged
    groups = {group.title: group.cases for group in cases.of_each_class(test, cuts, 4)}
    everything = {group.title: group.cases for group in cases.of_each_class(test, cuts, 1000)}
    assert len(groups) == 2 * len(test.classes)
    for k, name in enumerate(test.classes):
        exclusive = test.task is not Task.MULTILABEL
        other = "another" if test.task is Task.MULTICLASS else test.classes[1 - k]
        titles = (f"taken for {other}", "right") if exclusive else ("missed, or found where it is not", "found")
        for kind, right in zip(titles, (False, True), strict=True):
            expected = []
            for row in range(60):
                there, said, sure = _truth(test, cuts, row, k)
                if there is None or (there == said) != right or ((exclusive or right) and not there):
                    continue
                if exclusive and not right:
                    sure = 1 - test.scores[row, cases.decided(test, cuts)[row]]  # of what is said
                expected.append((sure, row))
            expected.sort(key=lambda pair: (-pair[0] if right else pair[0], pair[1]))
            title = f"{name}: {kind}, most confident first"
            assert [case.row for case in everything[title]] == [row for _, row in expected]
            assert groups[title] == everything[title][:4]
            for case in groups[title]:
                assert _truth(test, cuts, case.row, case.explained)[1] or not exclusive
                assert case.explained == k or exclusive
                assert f"{test.scores[case.row, case.explained]:.2f}" in case.caption


def test_without_cases_or_without_errors_there_is_no_empty_strip(judged) -> None:
    test, cuts = judged
    assert cases.of_each_class(test, cuts, 0) == []
    perfect = Judged(test.task, test.classes, test.labels, np.nan_to_num(test.labels))
    titles = [group.title for group in cases.of_each_class(perfect, cuts, 3)]
    assert len(titles) == len(test.classes)
    assert not any("missed" in title or "taken for" in title for title in titles)
    assert cases_section.sheet(cases_section.worst(errors.table(perfect, cuts, _images(60)), 3), {}) == []


def test_every_wrong_decision_is_listed_once_the_worst_first(judged, workspace) -> None:
    test, cuts = judged
    table = errors.table(test, cuts, _images(60).assign(path="Doe^Jane/IM1"))
    expected = []
    for row in range(60):
        for k, name in enumerate(test.classes):
            there, said, sure = _truth(test, cuts, row, k)
            if test.task is Task.MULTILABEL and there is not None and there != said:
                expected.append((f"{row:032x}", name if there else f"not {name}", round(sure, 6)))
            elif test.task is not Task.MULTILABEL and there and not said:
                expected.append((f"{row:032x}", name, round(sure, 6)))
    error_table.write("a_recipe", table)
    found = error_table.read("a_recipe")
    assert list(found) == error_table.COLUMNS
    assert "Doe" not in error_table.path("a_recipe").read_text(encoding="utf-8")
    assert sorted(zip(found["image"], found["actual"], found["probability"], strict=True)) == sorted(expected)
    assert found["probability"].is_monotonic_increasing
    assert (found["actual"] != found["said"]).all()
    assert set(found["age_band"]) <= {"", "0-9", "60-69", "90+"}
    ages = dict(zip(found["image"], found["age_band"], strict=True))
    assert all(ages[f"{n:032x}"] == ["", "0-9", "60-69", "90+"][n % 4] for n in range(60) if f"{n:032x}" in ages)


def test_the_sheet_shows_each_of_the_worst_images_once_with_a_key_that_find_takes(judged) -> None:
    test, cuts = judged
    table = errors.table(test, cuts, _images(60))
    chosen = cases_section.worst(table, 2)
    pixels = {row: np.full((4, 4), row, np.uint8) for row in chosen["row"]}
    ((_, pictures),) = cases_section.sheet(chosen, pixels)
    assert len(pictures) == 6
    assert len({int(picture.pixels[0, 0]) for picture in pictures}) == 6
    first = pictures[0]
    assert first.caption.startswith(f"{table['image'][0][:12]}\n{table['actual'][0]}, said {table['said'][0]}\n")
    assert "site ffffff" in first.caption
    assert "nan" not in first.caption.lower()
    assert "None" not in first.caption


def test_a_frame_stays_with_its_shortened_key() -> None:
    assert cases_section.short("0123456789abcdef0123456789abcdef-7") == "0123456789ab-7"
    assert re.fullmatch("[0-9a-f]{12}", cases_section.short("0123456789abcdef0123456789abcdef"))


def test_a_map_stands_beside_the_image_and_an_empty_one_is_told() -> None:
    pixels = {0: np.full((8, 8), 50, np.uint8), 1: np.full((8, 8), 60, np.uint8)}
    heat = {(0, 1): np.full((8, 8), 1, np.float32), (1, 1): np.zeros((8, 8), np.float32)}
    layer = cases_section.gradcam.Layer("backbone.layer4", "NCHW", 7)
    seen = explain.Explained(layer, heat)
    group = cases.Group("sick: right", [cases.Case(0, 1, "first"), cases.Case(1, 1, "second")])
    ((title, (first, second)),) = cases_section.strips([group], seen, pixels)
    assert title == "sick: right"
    assert first.beside.shape == (8, 8, 3)
    assert second == Picture(pixels[1], "second (nothing in the image speaks for it)")
    said = " ".join(cases_section.notes(seen, pixels=True))
    assert "backbone.layer4: 7 by 7 places" in said
    assert "at most 50% opaque" in said


def test_maps_that_fail_their_check_are_marked_where_they_stand() -> None:
    pixels, group = {0: np.zeros((8, 8), np.uint8)}, cases.Group("sick: right", [cases.Case(0, 1, "c")])
    for changes, marked in ((True, False), (False, True), (None, False)):
        checked = {"spearman": 0.9, "ssim": 0.9, "images": 1, "networks": 3, "changes": changes}
        seen = explain.Explained(None, {(0, 1): np.ones((8, 8), np.float32)}, checked)
        ((title, _),) = cases_section.strips([group], seen, pixels)
        assert ("do not trust" in title) == marked


def test_where_no_pixels_may_show_the_report_says_so() -> None:
    assert "evaluate.cases is 0" in cases_section.notes(None, pixels=False)[0]
    assert cases_section.strips([], None, {}) == []
