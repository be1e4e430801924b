"""The checks: what tells the label, what tells where an image is from, and whether chance tells nothing."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from stages.artifacts.cohort import Task
from stages.artifacts.shortcuts import OK, UNDEFINED, WARNING
from stages.judging import bootstrap, influence, scores
from stages.runtime import UserError
from stages.shortcuts import learners, tables

Floats = npt.NDArray[np.floating]
Flags = npt.NDArray[np.bool_]

ORIGINS = ("batch", "site", "manufacturer")

_FEWEST_TRAIN, _FEWEST_TEST = 10, 5
"""Patients of a batch, site or manufacturer, to learn and to judge it."""

_PERMUTED, _FEW_TREES = 2_000, 25
"""Images that each tree learns from, and trees, where labels are permuted: that takes many forests."""

_FAR, _ERRORS = 0.1, 4.0
"""Permuted labels give an AUROC that is so far from 0.5, and so many standard errors: then something is broken."""

_WORDS = {
    "nuisance": "image size, borders, grey levels and file format",
    "metadata": "batch, site, scanner and view",
    "demographics": "age and sex",
}


@dataclass(frozen=True)
class Sides:
    """Train and test together, (N) images.

    Attributes
    ----------
    rows
        The columns of :mod:`stages.shortcuts.tables`, and ``patient``.
    labels
        (N, K), NaN where unknown.
    train
        (N) which are train's; the others are test's.
    """

    rows: pd.DataFrame
    labels: Floats
    train: Flags
    task: Task
    classes: tuple[str, ...]

    @property
    def judged(self) -> list[int]:
        """The classes that count: the positive one of a binary task."""
        return [1] if self.task is Task.BINARY else list(range(len(self.classes)))


def labels(sides: Sides, check: str, columns: dict[str, str], warn_above: float, seed: int) -> dict[str, Any]:
    """How well ``columns`` alone tell the label: a forest of train's rows, judged on test's."""
    used = tables.telling(columns, sides.rows)
    rule = f"warning if the lower bound of a class's AUROC is above {warn_above:g}"
    if not used:
        return {"columns": [], "auroc": _nothing(), "per_class": {}, "verdict": UNDEFINED, "rule": rule, "words": ""}
    table = tables.encode(sides.rows, {name: columns[name] for name in used}, sides.train)
    train, test = sides.train, ~sides.train
    said = learners.forest(table[train], sides.labels[train], table[test], sides.task, seed)
    areas = {sides.classes[k]: _area(sides, sides.labels[test, k], said[:, k]) for k in sides.judged}
    per_class = {
        sides.classes[k]: _interval(sides, sides.labels[test, k], areas[sides.classes[k]]) for k in sides.judged
    }
    return {
        "columns": used,
        "auroc": _interval(sides, sides.labels[test][:, sides.judged], influence.mean(list(areas.values()))),
        "per_class": per_class,
        "verdict": _verdict([entry["low"] for entry in per_class.values()], warn_above),
        "rule": rule,
        "words": _WORDS[check],
    }


def origin(sides: Sides, column: str, features: Floats, warn_above: float, seed: int) -> dict[str, Any] | None:
    """Whether features and nuisances tell an image's ``column``, and that the label; None if there are no two.

    That a backbone tells one scanner from another is no fault. It is a way to a shortcut where the scanner tells the
    label.
    """
    names = sides.rows[column].astype("object").where(sides.rows[column].notna(), "not stated").to_numpy()
    patients = sides.rows["patient"].to_numpy()
    kept = [
        name
        for name in np.unique(names.astype(str))
        if len(np.unique(patients[(names == name) & sides.train])) >= _FEWEST_TRAIN
        and len(np.unique(patients[(names == name) & ~sides.train])) >= _FEWEST_TEST
    ]
    if len(kept) < 2:  # noqa: PLR2004 - nothing to tell apart
        return None
    here = np.isin(names, kept)
    target = (names[here, None] == np.array(kept, dtype=object)[None]).astype(np.float64)
    part = Sides(sides.rows[here], target, sides.train[here], Task.MULTICLASS, tuple(kept))
    train, test = np.flatnonzero(part.train), np.flatnonzero(~part.train)
    chosen = train[learners.some(len(train), seed)]
    table = tables.encode(part.rows, tables.NUISANCE, part.train)
    by = {
        "from_features": learners.Ridge(features[here][chosen]).scores(target[chosen], features[here][test]),
        "from_nuisance": learners.forest(table[train], target[train], table[test], part.task, seed),
    }
    found = {how: _best(part, target[test], said) for how, said in by.items()}
    told = _label_from_origin(sides, here, target)
    worst = max(told, key=lambda name: told[name]["low"] or 0.0)
    lows = [max(entry["low"] or 0.0 for entry in found.values()), told[worst]["low"] or 0.0]
    unknown = any(entry["low"] is None for entry in (*found.values(), told[worst]))
    return {
        **found,
        "label_from_origin": told[worst],
        "class": worst,
        "groups": len(kept),
        "verdict": WARNING if min(lows) > warn_above else UNDEFINED if unknown else OK,
        "rule": (
            f"warning if the lower bounds are above {warn_above:g} both of a {column} from features or nuisances and "
            f"of a class from the {column} alone"
        ),
    }


def permuted(sides: Sides, features: Floats, permutations: int, seed: int) -> dict[str, Any]:
    """AUROC on test of what is learnt from labels permuted within train: 0.5, but for chance.

    Raises
    ------
    UserError
        If it is far from that: then something else than training leads from test's labels to the scores.
    """
    random = np.random.default_rng(seed)
    train, test = np.flatnonzero(sides.train), np.flatnonzero(~sides.train)
    train, test = train[learners.some(len(train), seed)], test[learners.some(len(test), seed)]
    judged = Sides(
        sides.rows.iloc[test], sides.labels[test], np.zeros(len(test), dtype=bool), sides.task, sides.classes
    )
    orders = [random.permutation(len(train)) for _ in range(permutations)]
    table = tables.encode(sides.rows, tables.NUISANCE, sides.train)
    ridge = learners.Ridge(features[train])
    by: dict[str, list[float]] = {"nuisance": [], "features": []}
    for number, order in enumerate(orders):
        shuffled = sides.labels[train][order]
        forest = learners.forest(table[train], shuffled, table[test], sides.task, seed + number, _PERMUTED, _FEW_TREES)
        by["nuisance"].append(_mean_area(judged, forest))
        by["features"].append(_mean_area(judged, ridge.scores(shuffled, features[test])))
    found = {what: _spread(np.array(areas)) for what, areas in by.items()}
    for what, entry in found.items():
        if entry["verdict"] == WARNING:
            raise UserError(
                f"labels permuted within train still give AUROC {entry['mean']:.3f} on test from {what}, and 0.5 is "
                "what chance gives: something leads from test's labels to its scores: report this"
            )
    return found


def warnings(found_labels: dict[str, Any], found_origins: dict[str, Any]) -> list[str]:
    """One sentence for each warning."""
    said = []
    for found in found_labels.values():
        if found["verdict"] == WARNING:
            name, entry = max(found["per_class"].items(), key=lambda item: item[1]["low"] or 0.0)
            words = found["words"]
            said.append(
                f"{words[0].upper()}{words[1:]} alone tell '{name}' on test with AUROC {_words(entry)}: a model may "
                "have learnt them instead of the disease."
            )
    for column, found in found_origins.items():
        if found["verdict"] == WARNING:
            by = max(("from_features", "from_nuisance"), key=lambda how: found[how]["low"] or 0.0)
            from_ = {"from_features": "the frozen backbone's features", "from_nuisance": _WORDS["nuisance"]}[by]
            said.append(
                f"The {column} alone tells '{found['class']}' with AUROC {_words(found['label_from_origin'])}, and the "
                f"{column} can be told from {from_} (AUROC {_words(found[by])})."
            )
    return said


def _label_from_origin(sides: Sides, here: Flags, target: Floats) -> dict[str, Any]:
    """AUROC of each class from the share that it has among train's images of the same origin."""
    train, labels_ = sides.train[here], sides.labels[here]
    part = Sides(sides.rows[here], labels_, train, sides.task, sides.classes)
    found = {}
    for k in sides.judged:
        known = train & ~np.isnan(labels_[:, k])
        share = (target[known].T @ labels_[known, k]) / np.maximum(target[known].sum(axis=0), 1)
        area = _area(part, labels_[~train, k], target[~train] @ share)
        found[sides.classes[k]] = _interval(part, labels_[~train, k], area)
    return found


def _best(sides: Sides, labels_: Floats, said: Floats) -> dict[str, Any]:
    """The AUROC of the group of the origin that is told best, with its interval, and its name."""
    found = {
        name: _interval(sides, labels_[:, k], _area(sides, labels_[:, k], said[:, k]))
        for k, name in enumerate(sides.classes)
    }
    best = max(found, key=lambda name: found[name]["low"] or 0.0)
    return {**found[best], "group": best}


def _area(sides: Sides, labels_: Floats, said: Floats) -> influence.Influence:
    """AUROC of test's images."""
    names, member = np.unique(sides.rows["patient"].to_numpy(dtype=str)[~sides.train], return_inverse=True)
    if np.isnan(said).any():
        return influence.Influence(np.nan, np.full(len(names), np.nan))
    return influence.auroc(labels_, said, member, len(names))


def _interval(sides: Sides, labels_: Floats, area: influence.Influence) -> dict[str, Any]:
    """95 %, of an AUROC of labels (n), or of a mean over labels (n, K)."""
    patients = sides.rows["patient"].to_numpy(dtype=str)[~sides.train]
    each = labels_.reshape(len(labels_), -1).T
    positive, negative = ([len(np.unique(patients[label == value])) for label in each] for value in (1, 0))
    found = scores.of_area(area, positive, negative)
    return dict(bootstrap.entry(found.value, found.low, found.high))


def _mean_area(sides: Sides, said: Floats) -> float:
    """Over the classes that can be judged; NaN if none can."""
    areas = np.array([_area(sides, sides.labels[:, k], said[:, k]).value for k in sides.judged])
    return float(np.nanmean(areas)) if not np.isnan(areas).all() else np.nan


def _spread(areas: Floats) -> dict[str, Any]:
    mean, sd = float(areas.mean()), float(areas.std(ddof=1))
    far = abs(mean - 0.5) > max(_FAR, _ERRORS * sd / np.sqrt(len(areas)))
    return {
        "mean": bootstrap.number(mean),
        "sd": bootstrap.number(sd),
        "permutations": len(areas),
        "verdict": UNDEFINED if np.isnan(mean) else WARNING if far else OK,
        "rule": f"an error if the mean is more than {_FAR:g} and {_ERRORS:g} standard errors from 0.5",
    }


def _verdict(lows: list[float | None], warn_above: float) -> str:
    known = [low for low in lows if low is not None]
    return UNDEFINED if not known else WARNING if max(known) > warn_above else OK


def _nothing() -> bootstrap.Interval:
    return bootstrap.entry(np.nan, np.nan, np.nan)


def _words(entry: dict[str, Any]) -> str:
    return f"{entry['value']:.3f} [{entry['low']:.3f}, {entry['high']:.3f}]"
