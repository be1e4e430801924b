"""Do probabilities mean what they say: of images said to be 0.8, are four in five so?

- ECE, the expected calibration error: how far what is predicted lies from what is observed, on average over bins of
  about equally many images (Naeini et al., AAAI 2015; Nixon et al., CVPR workshops 2019). Of several classes the mean
  over classes, each against the rest; and that of the most probable class (Guo et al., ICML 2017).
- The Brier score in parts (Murphy, J. Appl. Meteorol. 1973): reliability - resolution + uncertainty over the same bins,
  and what remains because a bin holds unequal probabilities (Stephenson et al., Weather and Forecasting 2008). Of
  several exclusive classes the sum over classes, as the Brier score is; of several labels the mean.
- Slope and intercept: :mod:`stages.judging.recalibration`.

A measure that adds up distances is too large even of a perfect model, the more so the fewer images there are, and in
each resample once more. So the intervals of ECE, reliability and resolution are basic bootstrap intervals (Davison and
Hinkley 1997, 5.2), which take that excess off; where a model is nearly perfect they can lie below the value itself. And
``ece_by_chance`` is the ECE that chance alone gives, from resamples about what was observed; where it explains the
value, the interval begins at 0. (In simulations such intervals held the truth in 87 to 99 of 100 runs; percentile
intervals in 95 of a model that is far off, and in none of one that is nearly perfect.)
"""

from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit, softmax

from stages.artifacts.cohort import Task
from stages.judging import bootstrap, bundle, shares
from stages.judging.bootstrap import Floats, Interval, Resamples
from stages.judging.metrics import Judged
from stages.judging.odds import log_odds
from stages.judging.recalibration import recalibration

MOST_BINS, _IMAGES = 15, 20
_LEVEL = (2.5, 97.5)
_DIGITS = 6
_PARTS = ("brier", "reliability", "resolution", "uncertainty", "within_bins")
_NOISE = "noise"
_DISTANCES = ("ece", "reliability", "resolution")
"""What sampling makes larger."""

Draws = dict[str, Floats]
"""Each (B), the first of the data as they are."""


def judge(images: Judged, logits: Floats, temperature: float, resamples: Resamples) -> dict[str, Any]:
    """What evaluation.json says of calibration.

    Parameters
    ----------
    images
        Labels, as they were judged.
    logits
        (N, K) of the network, before the temperature.

    Returns
    -------
    ``{"ece": entry, "ece_by_chance": number, "brier", "reliability", "resolution", "uncertainty", "within_bins":
    entries, "per_class": {class: {the same, "slope", "intercept", "in_the_large": entries}}, "uncalibrated": {"ece",
    "ece_by_chance", "brier", "per_class": {class: {the same, "slope", "intercept", "in_the_large"}}}}``; of a
    multi-class task ``"top_class": {"ece", "ece_by_chance"}`` in both, too. ``uncalibrated`` is at temperature 1.
    """
    columns = list(images.columns)
    after, before = log_odds(logits, images.task, temperature), log_odds(logits, images.task)
    said = [_said(images.labels[:, k], expit(after[:, k])) for k in columns]
    unscaled = [_said(images.labels[:, k], expit(before[:, k])) for k in columns]
    if images.task is Task.MULTICLASS:
        unscaled += [_top_class(images.labels, logits, hot) for hot in (1.0, temperature)]
    of_parts = ((answers.rows, answers.parts()) for answers in said)
    of_distances = ((answers.rows, answers.distances()) for answers in unscaled)
    sums = bundle.sums(resamples, chain(of_parts, of_distances))
    draws = [_parts(next(sums)) for _ in said]
    distances = [_distances(next(sums)) for _ in unscaled]

    top_class = distances[len(columns) :]
    found = _sides(images, draws, after, resamples, top_class[1:])
    raw = _sides(images, distances[: len(columns)], before, resamples, top_class[:1])
    return {**found, "uncalibrated": raw}


def diagram(images: Judged, logits: Floats, temperature: float, patients: npt.NDArray[np.intp]) -> pd.DataFrame:
    """The reliability diagram: columns ``class, predicted, observed, low, high, images, patients``, a row per bin.

    ``low`` and ``high`` are the 95 % interval of what is observed: Wilson's, each patient of the bin one observation,
    for images of one are no new evidence. ``patients`` are the images' (N).
    """
    odds = log_odds(logits, images.task, temperature)
    tables = [
        _said(images.labels[:, k], expit(odds[:, k])).diagram(patients).assign(**{"class": images.classes[k]})
        for k in images.columns
    ]
    names = ["class", "predicted", "observed", "low", "high", "images", "patients"]
    return pd.concat(tables, ignore_index=True)[names]


def _sides(
    images: Judged, draws: list[Draws], odds: Floats, resamples: Resamples, top_class: list[Draws]
) -> dict[str, Any]:
    """The entries of all classes together and of each, whose draws and (N, K) log-odds are given."""
    per_class = {}
    for k, drawn in zip(images.columns, draws, strict=True):
        known = ~np.isnan(images.labels[:, k])
        line = recalibration(images.labels[known, k], odds[known, k], resamples.member[known])
        per_class[images.classes[k]] = {**_intervals(drawn), **line}
    of_top = {"top_class": _intervals({name: top_class[0][name] for name in ("ece", _NOISE)})} if top_class else {}
    return {**_intervals(_overall(images.task, draws)), **of_top, "per_class": per_class}


def bins(scores: Floats) -> npt.NDArray[np.intp]:
    """(N) the bin of each score, from 0: quantiles, as many as there are 20 images for each, at most 15.

    Equal scores share a bin, so bins can be fewer and unequal.
    """
    count = int(np.clip(len(scores) // _IMAGES, 1, MOST_BINS))
    edges = np.quantile(scores, np.linspace(0, 1, count + 1)[1:-1]) if len(scores) else np.empty(0)
    return np.unique(np.searchsorted(edges, scores), return_inverse=True)[1]


@dataclass(frozen=True)
class _Said:
    """What was said of some images, and what is so: rows, labels of 0 and 1, probabilities and bins, each (n)."""

    rows: npt.NDArray[np.intp]
    labels: Floats
    scores: Floats
    bins: npt.NDArray[np.intp]

    def parts(self) -> Floats:
        """(n, 3 bins + 1): of each bin images, what is predicted and what is so; the squared error."""
        inside = self._inside()
        error = (self.scores - self.labels) ** 2
        return np.hstack([inside, inside * self.scores[:, None], inside * self.labels[:, None], error[:, None]])

    def distances(self) -> Floats:
        """(n, bins + 2): of each bin what is predicted less what is so; the squared error; 1."""
        off = (self.scores - self.labels)[:, None]
        return np.hstack([self._inside() * off, off**2, np.ones_like(off)])

    def diagram(self, patients: npt.NDArray[np.intp]) -> pd.DataFrame:
        """A row per bin; the patients are those of all (N) images."""
        table = pd.DataFrame({"predicted": self.scores, "observed": self.labels, "patient": patients[self.rows]})
        by_bin = table.groupby(self.bins)
        frame = by_bin[["predicted", "observed"]].mean()
        met = by_bin["patient"].nunique().to_numpy()
        low, high = shares.wilson(frame["observed"].to_numpy(), met)
        return frame.assign(low=low, high=high, images=by_bin.size(), patients=met).round(_DIGITS)

    def _inside(self) -> Floats:
        return np.eye(int(self.bins.max(initial=-1)) + 1)[self.bins]


def _said(labels: Floats, scores: Floats) -> _Said:
    """Of (N) labels those that are known."""
    rows = np.flatnonzero(~np.isnan(labels))
    return _Said(rows, labels[rows], scores[rows], bins(scores[rows]))


def _top_class(labels: Floats, logits: Floats, temperature: float) -> _Said:
    """Whether the most probable class is right, and how probable it is said to be."""
    scores = softmax(logits.astype(np.float64) / temperature, axis=1)
    return _said((labels.argmax(axis=1) == scores.argmax(axis=1)).astype(np.float64), scores.max(axis=1))


def _parts(sums: Floats) -> Draws:
    """ECE and the parts of the Brier score from (B, 3 bins + 1) sums of :meth:`_Said.parts`."""
    size, predicted, positive = np.split(sums[:, :-1], 3, axis=1)
    total = size.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        base = positive.sum(axis=1) / total
        brier = sums[:, -1] / total
        # a bin of which nobody was drawn counts for nothing
        reliability = np.nansum((predicted - positive) ** 2 / size, axis=1) / total
        resolution = np.nansum(size * (positive / size - base[:, None]) ** 2, axis=1) / total
    uncertainty = base * (1 - base)
    ece, noise = _ece(predicted - positive, total)
    return {
        "ece": ece,
        _NOISE: noise,
        "brier": brier,
        "reliability": reliability,
        "resolution": resolution,
        "uncertainty": uncertainty,
        "within_bins": brier - (reliability - resolution + uncertainty),
    }


def _distances(sums: Floats) -> Draws:
    """ECE and Brier score from (B, bins + 2) sums of :meth:`_Said.distances`."""
    ece, noise = _ece(sums[:, :-2], sums[:, -1])
    with np.errstate(invalid="ignore", divide="ignore"):
        return {"ece": ece, _NOISE: noise, "brier": sums[:, -2] / sums[:, -1]}


def _ece(off: Floats, total: Floats) -> tuple[Floats, Floats]:
    """(B) ECE from (B, bins) sums of what is predicted less what is, and what of it is chance: how far draws differ."""
    with np.errstate(invalid="ignore", divide="ignore"):
        share = off / total[:, None]
    found = np.abs(share).sum(axis=1), np.abs(share - share[0]).sum(axis=1)
    ece, noise = (np.where(total > 0, values, np.nan) for values in found)
    return ece, noise


def _overall(task: Task, draws: list[Draws]) -> Draws:
    """Of all classes together: the mean, but Brier scores of exclusive classes add up."""
    means = {name: np.mean([drawn[name] for drawn in draws], axis=0) for name in draws[0]}
    share = len(draws) if task is Task.MULTICLASS else 1
    return {name: values * share if name in _PARTS else values for name, values in means.items()}


def _intervals(draws: Draws) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, values in draws.items():
        if name == _NOISE:
            drawn = values[1:][~np.isnan(values[1:])]
            found["ece_by_chance"] = bootstrap.number(float(drawn.mean()) if len(drawn) else np.nan)
        elif name in _DISTANCES:
            found[name] = _basic(values, draws[_NOISE] if name == "ece" else None)
        else:
            found[name] = bootstrap.interval(values)
    return found


def _basic(values: Floats, noise: Floats | None = None) -> Interval:
    """The basic bootstrap interval of a distance; from 0, if it is no longer than ``noise`` alone can be."""
    drawn = values[1:][~np.isnan(values[1:])]
    if np.isnan(values[0]) or not len(drawn):
        return bootstrap.entry(float(values[0]), np.nan, np.nan)
    low, high = (2 * values[0] - np.percentile(drawn, _LEVEL)[::-1]).clip(0)
    if noise is not None and values[0] <= np.nanpercentile(noise[1:], _LEVEL[1]):
        low = 0.0
    return bootstrap.entry(float(values[0]), float(low), float(high))
