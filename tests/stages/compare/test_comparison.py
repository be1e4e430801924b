"""Val chooses, test is reported, differences are paired."""

import numpy as np
import pandas as pd
import pytest

from stages.artifacts.cohort import Task
from stages.artifacts.intake import Counts, Intake
from stages.compare import comparison, page
from stages.evaluate.params import EvaluateParams
from stages.judging import judge
from stages.reasons import Reason
from stages.reports.page import Table

CLASSES = ("normal", "sick")


def _predictions(skill_val: float, skill_test: float, seed: int) -> pd.DataFrame:
    """Two images of each of 100 patients; the labels are the same for every model."""
    random = np.random.default_rng(seed)
    sick = np.tile([0.0, 1.0], 100)
    subset = np.repeat(["val", "test"], 100)
    skill = np.where(subset == "val", skill_val, skill_test)
    score = 1 / (1 + np.exp(-(skill * (sick - 0.5) * 4 + random.normal(size=200))))
    return pd.DataFrame(
        {
            "image": [f"i{n}" for n in range(200)],
            "patient": [f"p{n // 2}" for n in range(200)],
            "subset": subset,
            "label:normal": 1 - sick,
            "label:sick": sick,
            "score:normal": 1 - score,
            "score:sick": score,
        }
    )


_NONE = {"value": None, "low": None, "high": None}
SHORTCUTS = {
    "labels": {
        "nuisance": {
            "auroc": {"value": 0.9, "low": 0.85, "high": 0.95},
            "per_class": {"sick": {"value": 0.9, "low": 0.85, "high": 0.95}},
            "verdict": "warning",
        },
        **{key: {"auroc": _NONE, "per_class": {}, "verdict": "undefined"} for key in ("metadata", "demographics")},
    },
    "origins": {},
    "permuted": {"nuisance": {"mean": 0.5, "sd": 0.1, "verdict": "ok"}},
    "warnings": ["Borders alone tell 'sick'."],
}
COUNTS = {side: {"images": 9, "patients": 4, "classes": {}} for side in ("train", "val", "test")}
SITE_A: Counts = {
    "files": 1200,
    "accepted": 1192,
    "used": 1190,
    "images": 1310,
    "duplicates": 3,
    "quarantined": 7,
    "reasons": {"DUPLICATE": 3, "NOT_DICOM": 5, "TRUNCATED": 2},
}
SITE_B: Counts = SITE_A | {"files": 1190, "duplicates": 0, "quarantined": 0, "reasons": {}}
TRAINING = {
    "architecture": "tiny",
    "strategy": "full",
    "weights": "starter",
    "trainable_parameters": 10,
    "parameters": 20,
    "epochs": 3,
    "images_seen": 30,
}


def _intake(**batches: Counts) -> Intake:
    total = {name: sum(counts[name] for counts in batches.values()) for name in SITE_A if name != "reasons"}
    return {"batches": batches, "total": {**total, "reasons": {}}}


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    return {
        "looks_good": _predictions(0.1, 0.9, 1),
        "is_chosen": _predictions(0.9, 0.5, 2),
        "twin": _predictions(0.9, 0.5, 2),
    }


def _compare(tables: dict[str, pd.DataFrame]) -> dict:
    section = EvaluateParams(resamples=200)
    found = {name: judge.judge(table, Task.BINARY, CLASSES, section, 1) for name, table in tables.items()}
    trained = dict.fromkeys(tables, TRAINING)
    return comparison.compare(list(tables), found, trained, tables, Task.BINARY, CLASSES, 200, 1) | {"test_looks": 17}


def test_val_chooses_even_where_test_would_choose_another(tables: dict[str, pd.DataFrame]) -> None:
    compared = _compare(tables)
    auroc = {name: entry["test"]["auroc"]["value"] for name, entry in compared["recipes"].items()}
    assert max(auroc, key=auroc.__getitem__) == "looks_good"
    assert compared["best"] == "is_chosen", "of equals the first in params.yaml"


def test_a_difference_is_paired(tables: dict[str, pd.DataFrame]) -> None:
    recipes = _compare(tables)["recipes"]
    assert recipes["twin"]["difference_to_best"]["auroc"] == {"value": 0.0, "low": 0.0, "high": 0.0}, "same predictions"
    other = recipes["looks_good"]["difference_to_best"]["auroc"]
    expected = recipes["looks_good"]["test"]["auroc"]["value"] - recipes["is_chosen"]["test"]["auroc"]["value"]
    assert other["value"] == pytest.approx(expected, abs=2e-6)
    assert other["low"] < other["value"] < other["high"]


def test_models_judged_on_different_images_are_not_compared(tables: dict[str, pd.DataFrame]) -> None:
    tables["twin"] = tables["twin"].iloc[:-1]
    with pytest.raises(ValueError, match="different images"):
        _compare(tables)


def test_the_page_says_who_was_chosen_and_draws_every_recipe(tables: dict[str, pd.DataFrame]) -> None:
    compared = _compare(tables)
    curve = pd.DataFrame({"class": "sick", "fpr": [0.0, 1.0], "tpr": [0.0, 1.0], "threshold": [1.0, 0.0]})
    made = page.build(compared, dict.fromkeys(tables, curve), COUNTS, _intake(site_a=SITE_A), SHORTCUTS)
    assert made.facts[0].value == "is_chosen"
    facts = {(fact.label, fact.value) for fact in made.facts}
    assert {("Test has judged", "17 models"), ("Shortcuts", "1 warning")} <= facts
    assert "Warning: Borders alone tell 'sick'." in made.notes
    names = {figure.name for figure in made.figures}
    assert {"auroc", "difference", "cost", "roc-0"} <= names
    for figure in made.figures:
        for axis in ("xaxis", "yaxis"):
            title = figure.layout.get(axis, {}).get("title")
            assert title is None or title.get("text"), "plotly draws no title that is a bare string"
    assert [row[0][1] for row in made.tables[0].rows] == [f"recipes/{name}/report.html" for name in tables]


def test_one_recipe_alone_has_no_difference_to_draw(tables: dict[str, pd.DataFrame]) -> None:
    alone = {"is_chosen": tables["is_chosen"]}
    curve = pd.DataFrame({"class": ["sick"], "fpr": [0.0], "tpr": [0.0], "threshold": [1.0]})
    made = page.build(_compare(alone), {"is_chosen": curve}, COUNTS, _intake(site_a=SITE_A), SHORTCUTS)
    assert "difference" not in {figure.name for figure in made.figures}


def _page_of(tables: dict[str, pd.DataFrame], intake: Intake) -> dict[str, Table]:
    curve = pd.DataFrame({"class": ["sick"], "fpr": [0.0], "tpr": [0.0], "threshold": [1.0]})
    made = page.build(_compare(tables), dict.fromkeys(tables, curve), COUNTS, intake, SHORTCUTS)
    return {table.title: table for table in made.tables}


def test_the_page_tells_what_became_of_every_file_that_came_in(tables: dict[str, pd.DataFrame]) -> None:
    found = _page_of(tables, _intake(site_a=SITE_A, site_b=SITE_B))
    assert found["What came in"].rows == [
        ["site_a", "1,200", "1,190", "1,310", "3", "7"],
        ["site_b", "1,190", "1,190", "1,310", "0", "0"],
        ["all", "2,390", "2,380", "2,620", "3", "7"],
    ]
    left_out = found["What is not used, and why"]
    assert left_out.rows == [
        ["site_a", "DUPLICATE", "3", Reason.DUPLICATE.value],
        ["site_a", "NOT_DICOM", "5", Reason.NOT_DICOM.value],
        ["site_a", "TRUNCATED", "2", Reason.TRUNCATED.value],
    ]
    assert set(left_out.words) == {1, 3}, "sentences are wrapped"


def test_where_every_file_is_used_there_is_no_table_of_reasons(tables: dict[str, pd.DataFrame]) -> None:
    found = _page_of(tables, _intake(site_b=SITE_B))
    assert "What is not used, and why" not in found
    assert len(found["What came in"].rows) == 1, "one batch is all there is"
