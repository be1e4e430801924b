"""Probabilities to what is said of an image: the classes called, those above their threshold, the prediction set."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.artifacts.cohort import Task


class Decision(NamedTuple):
    """What is said of one image, as names of classes."""

    called: tuple[str, ...]
    """As evaluation's accuracy counts: of a binary task the class by the threshold, of several exclusive ones the most
    probable, of several labels every one at its threshold or above."""
    above: tuple[str, ...]
    """Classes at their threshold or above, as evaluation's sensitivity and specificity count; of exclusive classes that
    can be none or several."""


class Answer(NamedTuple):
    """What a model says of one image."""

    frame: int
    """Of its file, from 0."""
    probabilities: tuple[float, ...]
    """In the order of the classes."""
    called: tuple[str, ...]
    above: tuple[str, ...]
    prediction_set: tuple[str, ...] | None
    """None for a model that was judged without prediction sets."""


@dataclass(frozen=True)
class Rule:
    """How probabilities of ``classes`` are read; ``thresholds`` as in evaluation.json."""

    task: Task
    classes: tuple[str, ...]
    thresholds: Mapping[str, float]

    def decide(self, probabilities: npt.NDArray[np.floating]) -> Decision:
        """Read the (K,) probabilities of one image."""
        above = tuple(
            name
            for name, probability in zip(self.classes, probabilities.tolist(), strict=True)
            if name in self.thresholds and probability >= self.thresholds[name]
        )
        match self.task:
            case Task.MULTILABEL:
                return Decision(above, above)
            case Task.BINARY:
                return Decision((self.classes[1] if self.classes[1] in above else self.classes[0],), above)
            case Task.MULTICLASS:
                return Decision((self.classes[int(np.argmax(probabilities))],), above)
