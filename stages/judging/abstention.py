"""What a model gets wrong if it may pass on what it is unsure of: risk against coverage.

El-Yaniv and Wiener (JMLR 2010); Geifman and El-Yaniv, "Selective classification for deep neural networks" (NeurIPS
2017). The risk is the share of wrong decisions among the images that are decided, the surest first. Decisions are those
that the metrics judge: of exclusive classes the most probable, sure by its probability; of one of two classes, and of a
label, the side of the threshold, sure by the distance to it as a share of the longest way to go on that side.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import norm

from stages.artifacts.cohort import Task
from stages.judging import bootstrap, bundle, shares
from stages.judging.bootstrap import Floats, Interval, Resamples
from stages.judging.metrics import Judged

COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.5)
_ALL = "all"
_GRID = np.arange(1, 101) / 100
_Z = float(norm.ppf(0.975))


def judge(images: Judged, cuts: dict[str, float], resamples: Resamples) -> dict[str, Any]:
    """What evaluation.json says of abstention.

    ``{"area": entry, "risk": {"1.0": entry, ...}}``; of a multi-label task these are means over labels, which
    ``per_class`` has each. ``area`` lies under the curve of risk against coverage (AURC). The risk at coverage c is
    that of the surest ceil(c N) images and those as sure as the last; how sure that is, its interval takes as given.
    """
    asked = _decided(images, cuts)
    sums = bundle.sums(resamples, ((rows, _errors(wrong, sure)) for _, rows, wrong, sure in asked))
    questions = [_measured(*question, found, resamples) for question, found in zip(asked, sums, strict=True)]
    if images.task is not Task.MULTILABEL:
        return questions[0].entries()
    whole = _Measured(
        _ALL,
        float(np.mean([question.area for question in questions])),
        np.mean([question.influence for question in questions], axis=0),
        np.mean([question.risks for question in questions], axis=0),
        np.min([question.patients for question in questions], axis=0),
    )
    return {**whole.entries(), "per_class": {question.name: question.entries() for question in questions}}


def curve(images: Judged, cuts: dict[str, float]) -> pd.DataFrame:
    """Columns ``class, coverage, risk``, at every hundredth; ``class`` is ``all`` unless there are labels."""
    tables = []
    for name, _, wrong, sure in _decided(images, cuts):
        risks = risk(wrong, sure)
        drawn = risks[np.ceil(_GRID * len(risks)).astype(int) - 1] if len(risks) else np.nan
        tables.append(pd.DataFrame({"class": name, "coverage": _GRID, "risk": drawn}))
    return pd.concat(tables, ignore_index=True).round(6)


def risk(wrong: npt.NDArray[np.bool_], sure: Floats) -> Floats:
    """(N) the share of wrong decisions among the surest n images, for n from 1 to N.

    Equally sure images are all taken as soon as one is: their order is nobody's choice.
    """
    _, last, share = _ranked(wrong, sure)
    return share[last]


def _decided(
    images: Judged, cuts: dict[str, float]
) -> list[tuple[str, npt.NDArray[np.intp], npt.NDArray[np.bool_], Floats]]:
    """For each question its name, the rows whose answer is known, and of these: which are wrong, and how sure."""
    if images.task is Task.MULTICLASS:
        best = images.scores.argmax(axis=1)
        return [(_ALL, np.arange(len(best)), best != images.labels.argmax(axis=1), images.scores.max(axis=1))]
    found = []
    for k in images.columns:
        rows = np.flatnonzero(~np.isnan(images.labels[:, k]))
        cut, scores = cuts[images.classes[k]], images.scores[rows, k]
        called = scores >= cut
        way = np.where(called, 1 - cut, cut)
        sure = np.divide(np.abs(scores - cut), way, out=np.zeros_like(scores), where=way > 0)
        name = images.classes[k] if images.task is Task.MULTILABEL else _ALL
        found.append((name, rows, called != (images.labels[rows, k] == 1), sure))
    return found


def _ranked(wrong: npt.NDArray[np.bool_], sure: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Floats]:
    """Images from the surest down; for each place the last place that is as sure; and the risk at each place."""
    order = np.argsort(-sure, kind="stable")
    falling = -sure[order]
    last = np.searchsorted(falling, falling, side="right") - 1
    share: Floats = np.cumsum(wrong[order]) / np.arange(1, len(order) + 1)
    return order, last, share


def _area(
    wrong: npt.NDArray[np.bool_], sure: Floats, member: npt.NDArray[np.intp], patients: int
) -> tuple[float, Floats]:
    """The mean of :func:`risk`, and (P) what each patient adds to its error: the variance is the sum of squares.

    By the influence function of E[G(x)], G(x) = P(wrong | as sure as x, or surer): an image moves the mean directly,
    and G at every place from its own on.
    """
    count = len(wrong)
    if not count:
        return np.nan, np.full(patients, np.nan)
    order, last, share = _ranked(wrong, sure)
    at = share[last]
    coverage = (last + 1) / count
    first = np.searchsorted(-sure[order], -sure[order], side="left")
    onward = np.cumsum((1 / coverage)[::-1])[::-1][first] / count
    onward_risk = np.cumsum((at / coverage)[::-1])[::-1][first] / count
    moved = np.empty(count)
    moved[order] = at - at.mean() + wrong[order] * onward - onward_risk
    return float(at.mean()), np.bincount(member, weights=moved, minlength=patients) / count


@dataclass(frozen=True)
class _Measured:
    """One question's area with what each patient adds to its error, and (C, B) risks at ``COVERAGES``.

    ``patients``, (C), are those decided.
    """

    name: str
    area: float
    influence: Floats
    risks: Floats
    patients: npt.NDArray[np.intp]

    def entries(self) -> dict[str, Any]:
        """As evaluation.json has them."""
        risks = zip(COVERAGES, self.risks, self.patients.tolist(), strict=True)
        return {
            "area": self._interval(),
            "risk": {str(coverage): shares.interval(draws, patients) for coverage, draws, patients in risks},
        }

    def _interval(self) -> Interval:
        """Wald's, which keeps within a share's bounds; of one patient there is none."""
        everyone = int(self.patients[0])
        if not self.area > 0:  # no error at all, or no image
            return shares.interval(np.full(2, self.area), everyone)
        reach = _Z * float(np.sqrt((self.influence**2).sum())) if everyone > 1 else np.nan
        return bootstrap.entry(self.area, *np.clip([self.area - reach, self.area + reach], 0, 1).tolist())


def _measured(
    name: str,
    rows: npt.NDArray[np.intp],
    wrong: npt.NDArray[np.bool_],
    sure: Floats,
    sums: Floats,
    resamples: Resamples,
) -> _Measured:
    """A question with the sums of :func:`_errors`."""
    member = resamples.member[rows]
    area, influence = _area(wrong, sure, member, resamples.counts.shape[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        risks = (sums[:, : len(COVERAGES)] / sums[:, len(COVERAGES) :]).T
    patients = [len(np.unique(member[sure >= limit])) for limit in _limits(sure)]
    return _Measured(name, area, influence, risks, np.array(patients, dtype=np.intp))


def _errors(wrong: npt.NDArray[np.bool_], sure: Floats) -> Floats:
    """(n, 2 C): whether an image is decided and wrong at each of ``COVERAGES``, and whether it is decided."""
    decided = (sure[:, None] >= _limits(sure)).astype(np.float64)
    return np.hstack([decided * wrong[:, None], decided])


def _limits(sure: Floats) -> list[float]:
    """How sure the least sure image is that is decided, at each of ``COVERAGES``."""
    falling = np.sort(sure)[::-1]
    return [float(falling[int(np.ceil(share * len(sure))) - 1]) if len(sure) else np.inf for share in COVERAGES]
