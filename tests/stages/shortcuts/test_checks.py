"""A shortcut that is planted is found, and none is found where there is none."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from stages.artifacts.cohort import Task
from stages.runtime import UserError
from stages.shortcuts import checks, learners, tables

CLASSES = ("normal", "sick")
ABOVE = 0.6


def sides(count: int = 400, classes: int = 2, seed: int = 0, **changes: object) -> checks.Sides:
    """Two images of each patient, of train and test in turn, whose every attribute is drawn without their label."""
    random = np.random.default_rng(seed)
    rows = pd.DataFrame({"patient": [f"p{n // 2}" for n in range(count)]})
    for name in (*tables.NUISANCE, *tables.METADATA, *tables.DEMOGRAPHICS):
        kind = (tables.NUISANCE | tables.METADATA | tables.DEMOGRAPHICS)[name]
        rows[name] = random.normal(size=count) if kind == "number" else random.choice(["one", "two", "three"], count)
    labels = np.eye(classes)[random.integers(0, classes, count)]
    names = ("normal", "sick", "worse")[:classes]
    task = Task.BINARY if classes == 2 else Task.MULTICLASS
    made = checks.Sides(rows, labels, np.arange(count) // 2 % 2 == 0, task, names)
    for column, of in changes.items():
        made.rows[column] = of(made, random)  # type: ignore[operator]
    return made


def border(made: checks.Sides, random: np.random.Generator) -> np.ndarray:
    return made.labels[:, 1] + random.normal(size=len(made.rows)) * 0.5


def found_in(made: checks.Sides, check: str = "nuisance") -> dict:
    columns = {"nuisance": tables.NUISANCE, "metadata": tables.METADATA, "demographics": tables.DEMOGRAPHICS}[check]
    return checks.labels(made, check, columns, ABOVE, seed=1)


@pytest.mark.parametrize("check", ["nuisance", "metadata", "demographics"])
def test_where_nothing_tells_the_label_nothing_is_warned_of(check: str) -> None:
    found = found_in(sides(), check)
    assert found["verdict"] == "ok"
    assert found["auroc"]["low"] < 0.5 < found["auroc"]["high"]
    assert checks.warnings({check: found}, {}) == []


def test_a_border_that_tells_the_label_is_warned_of_in_words_with_its_auroc() -> None:
    made = sides(1200, border=border)
    found = found_in(made)
    assert found["verdict"] == "warning"
    best = roc_auc_score(made.labels[~made.train, 1], made.rows["border"][~made.train])  # what was planted
    assert best - 0.08 < found["auroc"]["value"] <= best + 0.01
    (said,) = checks.warnings({"nuisance": found}, {})
    assert said.startswith("Image size, borders")
    assert f"'sick' on test with AUROC {found['per_class']['sick']['value']:.3f} [" in said


def test_a_batch_of_one_class_is_warned_of_and_named() -> None:
    made = sides(classes=3, batch=lambda made, _: np.where(made.labels[:, 2] == 1, "covid", "others"))
    found = found_in(made, "metadata")
    assert found["verdict"] == "warning"
    assert found["per_class"]["worse"]["value"] > 0.99
    assert found["per_class"]["worse"]["low"] > found["per_class"]["normal"]["low"]
    (said,) = checks.warnings({"metadata": found}, {})
    assert "'worse'" in said


def test_labels_unknown_of_some_images_are_left_out_one_by_one() -> None:
    made = sides(border=border)
    labels = made.labels.copy()
    labels[::3, 0] = np.nan
    made = checks.Sides(made.rows, labels, made.train, Task.MULTILABEL, CLASSES)
    found = found_in(made)
    assert set(found["per_class"]) == set(CLASSES)
    assert min(entry["value"] for entry in found["per_class"].values()) > 0.75


def test_too_few_patients_are_undefined_and_columns_that_say_nothing_are_left_out() -> None:
    made = sides(4)
    assert found_in(made)["verdict"] == "undefined"
    same = sides(**{name: lambda *_: None for name in tables.METADATA})
    found = found_in(same, "metadata")
    assert (found["columns"], found["verdict"], found["auroc"]["value"]) == ([], "undefined", None)
    one = sides(site=lambda *_: "the only one")
    assert "site" not in found_in(one, "metadata")["columns"]


def features(made: checks.Sides, telling: np.ndarray | None = None) -> np.ndarray:
    found = np.random.default_rng(9).normal(size=(len(made.rows), 20)).astype(np.float32)
    if telling is not None:
        found[:, 0] += 3 * telling
    return found


def test_features_that_tell_a_site_are_a_warning_only_where_the_site_tells_the_label() -> None:
    apart = sides(site=lambda made, random: random.choice(["a", "b"], len(made.rows)))
    found = checks.origin(apart, "site", features(apart, apart.rows["site"] == "a"), ABOVE, seed=1)
    assert found is not None
    assert found["from_features"]["low"] > 0.9
    assert found["from_nuisance"]["low"] < 0.5 < found["from_nuisance"]["high"]
    assert found["verdict"] == "ok"

    tied = sides(
        site=lambda made, random: np.where(random.random(len(made.rows)) < 0.2 + 0.6 * made.labels[:, 1], "a", "b")
    )
    found = checks.origin(tied, "site", features(tied, tied.rows["site"] == "a"), ABOVE, seed=1)
    assert found is not None
    assert found["verdict"] == "warning"
    assert found["class"] == "sick"
    assert found["label_from_origin"]["value"] == pytest.approx(0.8, abs=0.07)  # (0.8 + 0.8) / 2
    assert "The site alone tells 'sick'" in checks.warnings({}, {"site": found})[0]
    blind = checks.origin(tied, "site", features(tied), ABOVE, seed=1)
    assert blind is not None
    assert blind["verdict"] == "ok"


def test_one_site_or_small_ones_are_not_compared() -> None:
    one = sides(site=lambda *_: "a")
    assert checks.origin(one, "site", features(one), ABOVE, seed=1) is None
    small = sides(site=lambda made, _: np.where(np.arange(len(made.rows)) < 8, "b", "a"))
    assert checks.origin(small, "site", features(small), ABOVE, seed=1) is None


def test_permuted_labels_tell_nothing_even_where_true_ones_tell_all() -> None:
    made = sides(border=border)
    found = checks.permuted(made, features(made, made.labels[:, 1]), 8, seed=2)
    for entry in found.values():
        assert abs(entry["mean"] - 0.5) < 4 * entry["sd"] / np.sqrt(8)
        assert 0 < entry["sd"] < 0.3
        assert entry["verdict"] == "ok"


def test_scores_that_know_tests_labels_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """What such a leak would look like: whatever is learnt, test comes out right."""
    made = sides()
    leak = made.labels[~made.train]
    monkeypatch.setattr(learners, "forest", lambda *_: leak + np.random.default_rng(0).normal(size=leak.shape) * 0.1)
    with pytest.raises(UserError, match=r"permuted within train still give AUROC .* from nuisance"):
        checks.permuted(made, features(made), 5, seed=2)


def test_the_ridge_is_scikit_learns_for_every_target_at_once() -> None:
    random = np.random.default_rng(4)
    train, test, targets = random.normal(size=(60, 7)), random.normal(size=(9, 7)), random.normal(size=(60, 3))
    train[:, 3] = 5
    found = learners.Ridge(train).scores(targets, test)
    scaler = StandardScaler().fit(train)
    model = Ridge(alpha=7).fit(scaler.transform(train), targets)
    np.testing.assert_allclose(found, model.predict(scaler.transform(test)) - targets.mean(axis=0), atol=1e-9)


def test_the_same_seed_gives_the_same_numbers() -> None:
    made = sides(border=border)
    assert found_in(made) == found_in(made)
    assert checks.permuted(made, features(made), 5, 3) == checks.permuted(made, features(made), 5, 3)


def test_names_are_columns_decided_on_train_and_unknown_is_one_of_them() -> None:
    rows = pd.DataFrame({"view": ["PA", "PA", None, "AP"], "age": [1.0, np.nan, 3.0, 4.0]})
    table = tables.encode(rows, {"view": "name", "age": "number"}, np.array([True, True, True, False]))
    np.testing.assert_array_equal(table[:, :2], [[1, 0], [1, 0], [0, 1], [0, 0]])
    np.testing.assert_array_equal(table[:, 2], rows["age"].astype(np.float32))
