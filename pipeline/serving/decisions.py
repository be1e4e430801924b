"""Probabilities to what is said of an image: the classes called, those above their threshold, the prediction set."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.artifacts.cohort import Task

NOT = "not"
"""Before a label, in the prediction set of a multi-label task: that the image may be without it."""


class Decision(NamedTuple):
    """What is said of one image, as names of classes."""

    called: tuple[str, ...]
    """As evaluation's accuracy counts: of a binary task the class by the threshold, of several exclusive ones the most
    probable, of several labels every one at its threshold or above."""
    above: tuple[str, ...]
    """Classes at their threshold or above, as evaluation's sensitivity and specificity count; of exclusive classes that
    can be none or several."""
    prediction_set: tuple[str, ...] | None
    """Answers that cannot be ruled out: classes, or of each label ``pneumonia``, ``not pneumonia`` or both. None for a
    model that was judged without."""


class Answer(NamedTuple):
    """What a model says of one image."""

    frame: int
    """Of its file, from 0."""
    probabilities: tuple[float, ...]
    """In the order of the classes."""
    said: Decision


@dataclass(frozen=True)
class Rule:
    """How probabilities of ``classes`` are read: ``thresholds`` as in evaluation.json, ``quantiles`` of its sets."""

    task: Task
    classes: tuple[str, ...]
    thresholds: Mapping[str, float]
    quantiles: Mapping[str, float] | None = None

    def decide(self, probabilities: npt.NDArray[np.floating]) -> Decision:
        """Read the (K,) probabilities of one image."""
        named = dict(zip(self.classes, probabilities.tolist(), strict=True))
        above = tuple(name for name, chance in named.items() if chance >= self.thresholds.get(name, np.inf))
        return Decision(self._called(named, above), above, self._prediction_set(named))

    def _called(self, named: Mapping[str, float], above: tuple[str, ...]) -> tuple[str, ...]:
        match self.task:
            case Task.MULTILABEL:
                return above
            case Task.BINARY:
                no, yes = self.classes
                return (yes,) if yes in above else (no,)
            case Task.MULTICLASS:
                return (max(named, key=named.__getitem__),)

    def _prediction_set(self, named: Mapping[str, float]) -> tuple[str, ...] | None:
        if self.quantiles is None:
            return None
        if self.task is not Task.MULTILABEL:
            return tuple(name for name, chance in named.items() if 1 - chance <= self.quantiles["all"])
        found: list[str] = []
        for name, chance in named.items():
            found += [name] if 1 - chance <= self.quantiles[name] else []
            found += [f"{NOT} {name}"] if 1 - (1 - chance) <= self.quantiles[name] else []
        return tuple(found)
