"""Everything a card may rest on, as the stages before it left it, and how numbers are written."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from stages.artifacts.cohort import Cohort, Subset
from stages.artifacts.intake import Intake
from stages.artifacts.model import Training
from stages.evaluate.params import EvaluateParams
from stages.finetune.params import Recipe
from stages.preprocess.params import PreprocessParams
from stages.split.params import SplitParams

LABELS = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "ppv": "PPV",
    "npv": "NPV",
    "f1": "F1",
    "brier": "Brier score",
    "ece": "expected calibration error",
    "delong": "AUROC by DeLong",
    "lr_positive": "positive likelihood ratio",
    "lr_negative": "negative likelihood ratio",
    "ppv_at_prevalence": "PPV at this prevalence",
    "npv_at_prevalence": "NPV at this prevalence",
}
"""How names of evaluation.json are written where it is not the name with spaces."""

ORDER = ("auroc", "auprc", "sensitivity", "specificity", "ppv", "npv", "accuracy", "balanced_accuracy", "f1", "brier")
"""What is looked for first stands first: the file is in the order of the alphabet."""


class Said(NamedTuple):
    """``whole``: the item asks nothing that is not said here; otherwise the author has to add to it."""

    text: str
    whole: bool = True


@dataclass(frozen=True)
class Facts:
    """What is known of one recipe's model.

    Attributes
    ----------
    excluded
        Images that are not in the cohort: ``image, batch, reason``.
    stored
        Rows of the index of the cohort's images: how their files are stored.
    header, sha256
        Of model.safetensors.
    decisions
        ``actual, predicted`` of every known label of test, as in the report's confusion matrix.
    packages
        Versions by name, as requirements.lock pins them.
    """

    recipe: str
    settings: Recipe
    seed: int
    split: SplitParams
    preprocess: PreprocessParams
    judging: EvaluateParams
    burned_in_absent: str
    cohort: Cohort
    excluded: pd.DataFrame
    intake: Intake
    stored: pd.DataFrame
    header: Mapping[str, str]
    sha256: str
    training: Training
    evaluation: Mapping[str, Any]
    decisions: pd.DataFrame
    comparison: Mapping[str, Any]
    packages: Mapping[str, str]

    @property
    def strategy(self) -> str:
        """The strategy in words: the first line of its parameters' documentation."""
        said = inspect.getdoc(type(self.settings)) or ""
        return said.partition("\n")[0].replace("``", "`")

    @property
    def sides(self) -> list[str]:
        """The sides of the split that have images, in order."""
        present = set(self.cohort.frame["subset"])
        return [side.value for side in Subset if side.value in present]

    def side(self, name: str) -> pd.DataFrame:
        """The cohort's rows of one side."""
        return self.cohort.frame[self.cohort.frame["subset"] == name]

    def size(self, name: str) -> str:
        """``118 images of 75 patients``."""
        rows = self.side(name)
        return f"{count(len(rows), 'image')} of {count(rows['patient'].nunique(), 'patient')}"


def entry(found: Mapping[str, Any]) -> str:
    """A metric with its 95 % interval: ``0.870 (0.805 to 0.921)``; ``undefined`` where, say, a class is absent."""
    if found["value"] is None:
        return "undefined"
    if found.get("low") is None or found.get("high") is None:
        return f"{found['value']:.3f}"
    return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


def is_entry(content: object) -> bool:
    """Whether it is a metric with its interval."""
    return isinstance(content, Mapping) and {"value", "low", "high"} <= content.keys()


def label(name: str) -> str:
    """A name of evaluation.json in words."""
    return LABELS.get(name, name.replace("_", " "))


def metrics(side: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The metrics at the top of one side of evaluation.json, those of ``ORDER`` first."""
    return {name: side[name] for name in ordered(side) if is_entry(side[name])}


def ordered(content: Mapping[str, Any]) -> list[str]:
    """Its names, those of ``ORDER`` first."""
    return [*(name for name in ORDER if name in content), *(name for name in content if name not in ORDER)]


def flat(content: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every number, word and metric of nested content with its path, in order; what is null is ``undefined``."""
    if is_entry(content):
        assert isinstance(content, Mapping)
        yield path, entry(content)
        rest = {name: value for name, value in content.items() if name not in {"value", "low", "high"}}
        yield from flat(rest, path)
    elif isinstance(content, Mapping):
        for name in ordered(content):
            yield from flat(content[name], (*path, name))
    elif isinstance(content, list):
        for number, value in enumerate(content, start=1):
            yield from flat(value, (*path, str(number)))
    elif content is None:
        yield path, "undefined"
    elif isinstance(content, bool):
        yield path, "yes" if content else "no"
    else:
        yield path, f"{content:.4g}" if isinstance(content, float) else str(content)


def count(number: int, what: str) -> str:
    """``1 image``, ``1,200 images``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def listed(names: list[str], most: int = 6) -> str:
    """``a, b and 4 others``."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} others"


def thresholds(found: Facts) -> str:
    """The operating point, in a sentence."""
    cuts = ", ".join(f"{name} {cut:.3f}" for name, cut in found.evaluation["thresholds"].items())
    given = found.judging.threshold.model_dump()  # the one thing that is asked for; the others are None
    rule = ", ".join(
        name if value is True else f"{name} {value:g}" for name, value in given.items() if value is not None
    )
    return f"Thresholds chosen on val by the rule '{rule}': {cuts}."
