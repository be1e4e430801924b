"""A model card: every item of CLAIM once, every number as it was found, nothing made up, nobody in it."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from ruamel.yaml import YAML

from stages import params
from stages.card import card, claim, markdown, statements
from stages.card.facts import Facts
from stages.card.questions import QUESTIONS
from stages.evaluate.params import EvaluateParams
from stages.finetune.params import Coral, LinearProbe, Scratch
from tests.conftest import ROOT
from tests.stages.card.conftest import SHA256, without_values

SECTIONS = [
    "Model details",
    "Intended use",
    "Factors",
    "Metrics",
    "Evaluation data",
    "Training data",
    "Quantitative analyses",
    "Ethical considerations",
    "Caveats and recommendations",
]
"""Of Mitchell et al. 2019, in their order."""


def built(found: Facts, **answers: str) -> tuple[dict, str]:
    content = card.build(found, answers)
    return content, markdown.render(content, "card.yaml")


def table(text: str, title: str) -> dict[str, list[str]]:
    """The rows of a Markdown table below a heading that begins so, by their first cell."""
    below = text[re.search(rf"^#+ {re.escape(title)}.*$", text, flags=re.MULTILINE).end() :]
    lines = [line for line in re.split(r"^#", below, maxsplit=1, flags=re.MULTILINE)[0].splitlines() if line[:1] == "|"]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    assert set(cells[1]) == {"---"}
    assert {len(row) for row in cells} == {len(cells[0])}, "every row has a cell for every column"
    return {row[0]: row[1:] for row in [cells[0], *cells[2:]]}


def items(content: dict) -> dict[int, dict]:
    return {item["number"]: item for item in content["claim"]}


# --- what stands in it


def test_every_item_of_claim_stands_in_it_once_and_is_filled_or_the_authors(found: Facts) -> None:
    content, text = built(found)
    assert [item["number"] for item in content["claim"]] == list(range(1, 45))
    rows = table(text, "CLAIM checklist")
    assert [int(number) for number in list(rows)[1:]] == list(range(1, 45))
    for item in content["claim"]:
        title, status, said = rows[str(item["number"])]
        assert item["title"] in title
        assert (status, item["status"]) in {("filled", "filled"), ("**to fill**", "author")}
        assert (item["status"] == "author") == bool(item["waiting"])
        assert said, "a filled item says something, and the author's says what is asked"


def test_the_nine_sections_of_a_model_card_stand_in_it_in_their_order(found: Facts) -> None:
    content, text = built(found)
    assert [section["title"] for section in content["sections"]] == SECTIONS
    headings = re.findall(r"^## (.*)$", text, flags=re.MULTILINE)
    assert headings == [*SECTIONS, "CLAIM checklist", "For the author to fill", "References"]
    for section in content["sections"]:
        for point in section["points"]:
            assert f"- **{point['name']}.** " in text
            assert point["text"] or point["answer"] or point["waiting"]


def test_every_metric_of_it_is_that_of_the_evaluation(found: Facts) -> None:
    content, text = built(found)
    rows = table(text, "Performance")
    assert rows["metric"] == ["test", "val"]
    names = {"auroc": "AUROC", "auprc": "AUPRC", "f1": "F1", "brier": "Brier score", "ppv": "PPV", "npv": "NPV"}
    metrics = [
        name
        for name, entry in found.evaluation["test"].items()
        if "value" in (entry if isinstance(entry, dict) else ())
    ]
    assert rows.pop("AUROC, interval by DeLong")[0].startswith(f"{found.evaluation['test']['auroc']['value']:.3f}")
    assert set(list(rows)[1:]) == {names.get(name, name.replace("_", " ")) for name in metrics}
    for column, side in enumerate(("test", "val")):
        for name in metrics:
            entry = found.evaluation[side][name]
            assert content["metrics"][side][name] == entry
            said = rows[names.get(name, name.replace("_", " "))][column]
            numbers = [float(number) for number in re.findall(r"\d\.\d+", said)]
            assert numbers == pytest.approx([entry["value"], entry["low"], entry["high"]], abs=5.1e-4)
    assert content["metrics"]["thresholds"] == found.evaluation["thresholds"]
    for cut in found.evaluation["thresholds"].values():
        assert f"{cut:.3f}" in items(content)[22]["text"]


def test_the_numbers_of_patients_images_and_labels_are_the_cohorts(found: Facts) -> None:
    _, text = built(found)
    rows = table(text, "Patients and images on each side of the split")
    assert rows[""] == ["train", "val", "test"]
    for column, side in enumerate(("train", "val", "test")):
        frame = found.cohort.frame[found.cohort.frame["subset"] == side]
        people = frame.groupby("patient").first()
        assert int(rows["Patients"][column]) == len(people)
        assert int(rows["Images"][column]) == len(frame)
        low, middle, high = np.nanpercentile(people["age"], [25, 50, 75])
        assert rows["Age of patients in years: median (quartiles)"][column].startswith(
            f"{middle:.0f} ({low:.0f} to {high:.0f}); {people['age'].isna().sum()} not stated"
        )
        women = (people["sex"] == "F").sum()
        assert rows["Sex of patients: F"][column] == f"{women} ({100 * women / len(people):.0f} %)"
        assert rows["Sex of patients: not stated"][column].startswith(str(people["sex"].isna().sum()))
        for name in found.cohort.classes:
            known = frame[f"label:{name}"].dropna()
            said = rows[f"Label: {name}"][column]
            assert said.startswith(f"{int(known.sum())} ({100 * known.mean():.0f} %)")
            assert ("unknown" in said) == (len(known) < len(frame))


def test_wrong_decisions_are_counted_as_the_labels_and_scores_have_them(binary: Facts) -> None:
    wrong = (binary.decisions["actual"] != binary.decisions["predicted"]).sum()
    test = binary.evaluation["test"]
    rate = 1 - test["accuracy"]["value"]
    content, _ = built(binary)
    said = items(content)[39]["text"]
    assert said.startswith(f"{wrong} of {len(binary.decisions)} decisions on test are wrong")
    assert wrong / len(binary.decisions) == pytest.approx(rate, abs=1e-6)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (1, "Deep learning"),
        (7, "north (200 files, 184 images), south (200 files, 184 images); 2 institutions"),
        (8, "DECODE_FAILED 4, DUPLICATE 3, NOT_DICOM 13"),
        (9, "96 x 96 pixels"),
        (10, "at most 16 frames, evenly spaced, are used"),
        (12, "2 without a label, 1 that would tie two sides together"),
        (13, "400 to 512 rows by 300 to 512 columns, 8 to 12 bits"),
        (19, "(0.6, 0.15, 0.25)"),
        (20, "1 image that would have tied two sides together was left out"),
        (22, "1,234,567 of them trained"),
        (23, "torch 2.13.0, pydicom 3.0.2"),
        (24, "Weights 'starter' (source: formulas, seed 1); what is new starts at random, from seed 7."),
        (25, "10 epochs, 600 images in all, batches of 32, adamw at a learning rate of 0.002"),
        (26, "epoch 7 of 10 were kept, the best by AUROC on val. It is the best of 2 recipes by AUROC on val."),
        (26, "it has judged 4 models so far"),
        (29, "1,000 bootstrap resamples of patients"),
        (35, "200 files: 180 used (184 images), 3 duplicate, 17 quarantined"),
    ],
)
def test_what_is_known_is_said(binary: Facts, number: int, words: str) -> None:
    content, text = built(binary)
    assert words in items(content)[number]["text"]
    assert words in text


@pytest.mark.parametrize("number", [3, 4, 5, 6, 15, 16, 18, 31, 34, 44])
def test_what_cannot_be_known_is_not_made_up(found: Facts, number: int) -> None:
    item = items(card.build(found, {}))[number]
    assert item["status"] == "author"
    assert not item["text"]
    assert not item["answer"]


def test_a_recipe_that_validation_did_not_choose_says_so(binary: Facts) -> None:
    content, text = built(replace(binary, recipe="scratch"))
    assert "Of 2 recipes 'fine_tune' is the best by AUROC on val, not this one." in text
    assert not content["model"]["best"]


def test_a_linear_probe_has_no_epochs(binary: Facts) -> None:
    probe = LinearProbe(strategy="linear_probe", weights="starter")
    done = {**binary.training, "strategy": "linear_probe", "epochs": 0, "best_epoch": 0, "chosen": {"c": 0.01}}
    said = items(card.build(replace(binary, settings=probe, training=done), {}))
    assert "epoch" not in said[25]["text"]
    assert said[26]["text"].startswith("On val by AUROC: c 0.01. It is the best")
    assert "which stay as they are" in said[24]["text"]


def test_a_recipe_for_another_site_says_whose_labels_had_no_part(binary: Facts) -> None:
    given = {"strategy": "coral", "weights": "starter", "epochs": 10, "lr": 0.002, "alpha": 100.0}
    coral = params.validate(given | {"target": {"column": "batch", "value": "south"}}, Coral, "params.yaml")
    said = items(card.build(replace(binary, settings=coral), {}))[25]["text"]
    assert "Images of batch south had a part in it without their labels only." in said


def test_from_scratch_is_not_called_transfer(binary: Facts) -> None:
    given = {"strategy": "scratch", "weights": "random", "epochs": 10, "lr": 0.002}
    scratch = replace(binary, settings=params.validate(given, Scratch, "params.yaml"))
    assert "transfer" not in items(card.build(scratch, {}))[1]["text"]


def test_the_checklist_says_where_a_thing_stands_rather_than_saying_it_twice(binary: Facts) -> None:
    content, text = built(binary)
    assert items(content)[20]["stands"] == "Training data: Disjoint"
    assert table(text, "CLAIM checklist")["20"][-1] == "see [Training data](#training-data): Disjoint."
    prose = [line for line in re.split(r"\n|\|", text) if len(line) > 200]
    assert len(prose) == len(set(prose))


def test_maps_of_where_the_model_looks_are_told_where_they_were_made(binary: Facts) -> None:
    made = {"layer": "features.12", "places": [3, 3], "sanity": {"spearman": 0.1}}
    item = items(card.build(replace(binary, evaluation={**binary.evaluation, "maps": made}), {}))[31]
    assert item["status"] == "filled"
    assert "Grad-CAM at the layer features.12, checked against a network of random weights" in item["text"]


def test_external_data_are_the_headline_where_there_are_some_and_asked_for_where_not(binary: Facts) -> None:
    without = items(card.build(binary, {}))[33]
    assert without["waiting"] == ["external"]
    drop = {"auroc": {"value": 0.0625, "low": -0.125, "high": 0.25}}
    side = {**binary.evaluation["test"], "images": 31, "patients": 17, "drop": drop}
    content, text = built(replace(binary, evaluation={**binary.evaluation, "external": side}))
    assert items(content)[33]["status"] == "filled"
    assert "On 31 images of 17 patients of sources that had no part in training" in content["summary"]
    assert "less than on test by 0.062 (-0.125 to 0.250)." in content["summary"]
    assert table(text, "Performance")["metric"] == ["test", "external", "val"]
    assert table(text, "Drop from test to external data")["AUROC"] == ["0.062 (-0.125 to 0.250)"]


def test_what_other_modules_found_is_in_a_table_of_its_own(binary: Facts) -> None:
    entry = {"value": 0.04, "low": 0.02, "high": 0.07}
    slope = {"value": 1.1, "low": None, "high": None}
    test = {**binary.evaluation["test"], "calibration": {"ece": entry, "per_class": {"pneumonia": {"slope": slope}}}}
    _, text = built(replace(binary, evaluation={**binary.evaluation, "test": test}))
    rows = table(text, "Calibration on test")
    assert rows["expected calibration error"] == ["0.040 (0.020 to 0.070)"]
    assert rows["per class: pneumonia: slope"] == ["1.100"]
    rows = table(text, "Operating points on test")
    point = binary.evaluation["test"]["operating"]["pneumonia"]
    assert float(rows["pneumonia"][0]) == pytest.approx(point["threshold"], abs=5.1e-4)
    metrics = ("sensitivity", "specificity", "ppv", "npv", "lr_positive", "lr_negative")
    for said, name in zip(rows["pneumonia"][1:], metrics, strict=True):
        numbers = [float(number) for number in re.findall(r"\d+\.\d+", said)]
        assert numbers == pytest.approx([point[name][key] for key in ("value", "low", "high")], abs=5.1e-4)


def test_subgroups_are_a_table_and_small_ones_are_not_read(binary: Facts) -> None:
    gap = {"value": -0.1, "low": -0.2, "high": -0.01, "p": 0.03, "p_holm": 0.06, "flag": True}
    women = {
        "images": 90,
        "patients": 45,
        "auroc": {"value": 0.8, "low": 0.7, "high": 0.9, "classes": ["x"], "gap": gap},
    }
    men = {
        "images": 90,
        "patients": 44,
        "auroc": {"value": 0.9, "low": 0.8, "high": 0.95, "classes": ["x"], "gap": None},
    }
    found = {"sex": {"F": women, "M": men, "not stated": {"images": 3, "patients": 2, "positives": {"x": 1}}}}
    test = {**binary.evaluation["test"], "subgroups": found}
    content, text = built(replace(binary, evaluation={**binary.evaluation, "test": test}))
    rows = table(text, "Subgroups on test")
    assert rows["sex: F"] == ["45", "0.800 (0.700 to 0.900)", "-0.100 (-0.200 to -0.010)", "0.060"]
    assert rows["sex: M"] == ["44", "0.900 (0.800 to 0.950)", "", ""]
    assert rows["sex: not stated"] == ["2", "too few to say", "", ""]
    assert items(content)[30]["status"] == "filled"


def test_classes_are_told_one_by_one_where_there_are_several(found: Facts) -> None:
    _, text = built(found)
    if len(found.evaluation["test"]["per_class"]) == 1:
        assert "Class by class" not in text
        return
    rows = table(text, "Class by class on test")
    assert list(rows)[1:] == list(found.cohort.classes)
    for name in found.cohort.classes:
        for column, metric in enumerate(("auroc", "auprc", "accuracy", "balanced_accuracy", "f1", "brier")):
            assert rows[name][column].startswith(
                f"{found.evaluation['test']['per_class'][name][metric]['value']:.3f} ("
            )


def test_recipes_are_compared_in_pairs(binary: Facts) -> None:
    _, text = built(binary)
    rows = table(text, "Recipes that were compared")
    assert rows["fine_tune"][2:] == ["the best itself", ""]
    assert rows["scratch"][2:] == ["-0.100 (-0.200 to -0.050)", "&lt; 0.001"]


@pytest.mark.parametrize(("rule", "said"), [("youden", "'youden'"), ({"sensitivity": 0.95}, "'sensitivity 0.95'")])
def test_the_rule_of_the_operating_point_is_said(binary: Facts, rule: object, said: str) -> None:
    section = params.validate({"resamples": 1000, "threshold": rule}, EvaluateParams, "params.yaml")
    assert f"by the rule {said}: pneumonia 0." in items(card.build(replace(binary, judging=section), {}))[22]["text"]


def test_metrics_without_a_value_are_undefined_not_an_error(found: Facts) -> None:
    content, text = built(without_values(found))
    rows = table(text, "Performance")
    assert {row[0] for name, row in rows.items() if name != "metric"} == {"undefined"}
    assert "AUROC undefined" in content["summary"]
    json.dumps(content, allow_nan=False)


def test_no_file_that_was_refused_and_no_image_that_was_left_out_are_told_too(binary: Facts) -> None:
    total = {**binary.intake["total"], "reasons": {}}
    clean = replace(binary, intake={**binary.intake, "total": total}, excluded=binary.excluded[:0])
    said = items(card.build(clean, {}))[35]["text"]
    assert "No file was refused. No image was left out." in said


# --- the author's words


def test_an_answer_stands_where_it_was_asked_and_is_asked_no_more(binary: Facts) -> None:
    content, text = built(
        binary, funding="Nobody | paid <for> it.", intended_use="Research.\n\nNothing else.", background="B."
    )
    assert items(content)[44] == {
        "number": 44, "section": "Other information", "title": "Funding, and the funders' role",
        "stands": "", "status": "filled", "text": "", "answer": "Nobody | paid <for> it.", "waiting": [],
    }  # fmt: skip
    assert table(text, "CLAIM checklist")["44"][-1] == "Nobody \\| paid &lt;for&gt; it."
    assert items(content)[3]["status"] == "filled"
    assert items(content)[41]["waiting"] == ["implications"], "one of its two questions is answered"
    assert "- **Intended use.** Research.\n  \n  Nothing else." in text
    asked = {one["question"] for one in content["asked"]}
    assert not asked & {"funding", "intended_use", "background"}
    assert set(list(table(text, "For the author to fill"))[1:]) == {f"`{name}`" for name in asked}


def test_with_every_question_answered_every_item_is_filled(found: Facts) -> None:
    content, text = built(found, **{name: f"About {name}." for name in QUESTIONS})
    assert {item["status"] for item in content["claim"]} == {"filled"}
    assert {point["status"] for section in content["sections"] for point in section["points"]} == {"filled"}
    assert content["asked"] == []
    assert "To fill" not in text
    assert "Nothing: every question is answered." in text
    assert all(f"About {name}." in text for name in QUESTIONS)


def test_every_question_is_asked_by_a_card(binary: Facts) -> None:
    assert [one["question"] for one in card.build(binary, {})["asked"]] == list(QUESTIONS)
    assert {question for item in claim.ITEMS for question in item.questions} <= set(QUESTIONS)
    assert set(statements.STATEMENTS) <= {item.number for item in claim.ITEMS}


def test_the_file_that_is_shipped_asks_every_question_and_answers_none() -> None:
    """What is expected stands above each key."""
    text = (ROOT / "card.yaml").read_text(encoding="utf-8")
    assert YAML(typ="safe").load(text) == dict.fromkeys(QUESTIONS)
    for name, expected in QUESTIONS.items():
        assert f"# {expected}\n{name}:\n" in text


# --- how it is written


def test_the_same_facts_give_the_same_bytes_and_json(found: Facts) -> None:
    content, text = built(found)
    assert (content, text) == built(found)
    assert json.loads(json.dumps(content, allow_nan=False)) == content


def test_no_key_of_a_patient_or_image_is_in_it(found: Facts) -> None:
    content, text = built(found)
    frame = found.cohort.frame
    said = json.dumps(content) + text.replace(SHA256, "")
    for column in ("image", "instance", "study", "group", "pixel_sha256", "perceptual_hash"):
        keys = [str(key) for key in frame[column].unique()]
        assert not [key for key in keys if re.search(rf"\b{re.escape(key)}\b", said)], column


def test_no_word_of_a_header_becomes_html_or_ends_a_cell(found: Facts) -> None:
    _, text = built(found)
    assert "<b>" not in text
    assert "&lt;b&gt;Philips" in text
    rows = table(text, "Patients and images on each side of the split")
    assert "Manufacturer: GE\\|Medical" in rows


def test_it_reads_as_prose_does(found: Facts) -> None:
    """No double space or stop, no empty brackets, no 'None', no line of a template left over."""
    _, text = built(found)
    prose = [line.replace("|  |", "|") for line in text.splitlines() if line]
    assert not [line for line in prose if re.search(r"\S  \S|\.\.|\( ?\)|\bNone\b(?!: one)|nan|\{|\}| \.|,\.", line)]
    assert "\n\n\n" not in text
    assert text.endswith("\n")


def test_a_warning_of_shortcuts_is_a_limitation(found: Facts) -> None:
    content, _ = built(found)
    (warning,) = found.comparison["warnings"]
    assert warning in items(content)[40]["text"]
