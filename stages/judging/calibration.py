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

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit, softmax

from stages.artifacts.cohort import Task
from stages.judging import bootstrap, shares
from stages.judging.bootstrap import Floats, Interval, Resamples
from stages.judging.metrics import Judged
from stages.judging.odds import log_odds
from stages.judging.recalibration import recalibration

MOST_BINS, _IMAGES = 15, 20
_LEVEL = (2.5, 97.5)
_PARTS = ("brier", "reliability", "resolution", "uncertainty", "within_bins")
_NOISE = "noise"
_DISTANCES = ("ece", "reliability", "resolution")
"""What sampling makes larger."""

Draws = dict[str, Floats]
"""Each (B), the first of the data as they are."""


def judge(
    images: Judged, logits: Floats, temperature: float, resamples: Resamples
) -> tuple[dict[str, Any], pd.DataFrame]:
    """What evaluation.json says of calibration, and the reliability diagram.

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

    The diagram has columns ``class, predicted, observed, low, high, images, patients``: a row per bin, with the 95 %
    interval of what is observed (Wilson's, each patient of the bin one observation: images of one are no new evidence).
    """
    after, before = log_odds(logits, images.task, temperature), log_odds(logits, images.task)
    draws: dict[str, Draws] = {}
    unscaled: dict[str, Draws] = {}
    found: dict[str, Any] = {"per_class": {}}
    raw: dict[str, Any] = {"per_class": {}}
    diagrams = []
    for k in images.columns:
        name, known = images.classes[k], ~np.isnan(images.labels[:, k])
        labels, members = images.labels[known, k], resamples.part(known)
        draws[name], diagram = _bins(labels, expit(after[known, k]), members)
        unscaled[name] = _distance(labels, expit(before[known, k]), members)
        diagrams.append(diagram.assign(**{"class": name}))
        for here, drawn, odds in ((found, draws[name], after), (raw, unscaled[name], before)):
            line = recalibration(labels, odds[known, k], members.member)
            here["per_class"][name] = {**_intervals(drawn), **line}
    for here, by_class in ((found, draws), (raw, unscaled)):
        here.update(_intervals(_overall(images.task, by_class)))
    if images.task is Task.MULTICLASS:
        for here, hot in ((found, temperature), (raw, 1.0)):
            here["top_class"] = _top_class(images.labels, softmax(logits.astype(np.float64) / hot, axis=1), resamples)
    frame = pd.concat(diagrams, ignore_index=True)[
        ["class", "predicted", "observed", "low", "high", "images", "patients"]
    ]
    return {**found, "uncalibrated": raw}, frame


def bins(scores: Floats) -> npt.NDArray[np.intp]:
    """(N) the bin of each score, from 0: quantiles, as many as there are 20 images for each, at most 15.

    Equal scores share a bin, so bins can be fewer and unequal.
    """
    count = int(np.clip(len(scores) // _IMAGES, 1, MOST_BINS))
    edges = np.quantile(scores, np.linspace(0, 1, count + 1)[1:-1]) if len(scores) else np.empty(0)
    return np.unique(np.searchsorted(edges, scores), return_inverse=True)[1]


def _bins(labels: Floats, scores: Floats, resamples: Resamples) -> tuple[Draws, pd.DataFrame]:
    """ECE and the parts of the Brier score of one class, and its diagram."""
    member = bins(scores)
    count = int(member.max(initial=-1)) + 1
    inside = np.eye(count)[member]
    error = ((scores - labels) ** 2)[:, None]
    sums = resamples.sums(np.hstack([inside, inside * scores[:, None], inside * labels[:, None], error]))
    size, predicted, positive = (sums[:, at * count : (at + 1) * count] for at in range(3))
    total = size.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        base = positive.sum(axis=1) / total
        observed = positive / size
        brier = sums[:, -1] / total
        reliability = np.nansum((predicted - positive) ** 2 / size, axis=1) / total
        resolution = np.nansum(size * (observed - base[:, None]) ** 2, axis=1) / total
        ece, noise = _ece(predicted - positive, total)
        uncertainty = base * (1 - base)
    for values in (reliability, resolution):
        values[total == 0] = np.nan
    draws = {
        "ece": ece,
        _NOISE: noise,
        "brier": brier,
        "reliability": reliability,
        "resolution": resolution,
        "uncertainty": uncertainty,
        "within_bins": brier - (reliability - resolution + uncertainty),
    }
    met = pd.DataFrame({"bin": member, "patient": resamples.member}).groupby("bin")["patient"].nunique()
    patients = met.reindex(range(count), fill_value=0).to_numpy()
    low, high = shares.wilson(observed[0], patients)
    diagram = pd.DataFrame(
        {
            "predicted": predicted[0] / size[0],
            "observed": observed[0],
            "low": low,
            "high": high,
            "images": size[0].astype(int),
            "patients": patients,
        }
    )
    return draws, diagram.round(6)


def _distance(labels: Floats, scores: Floats, resamples: Resamples) -> Draws:
    """ECE and Brier score alone, with less work."""
    member = bins(scores)
    inside = np.eye(int(member.max(initial=-1)) + 1)[member]
    off = (scores - labels)[:, None]
    sums = resamples.sums(np.hstack([inside * off, off**2, np.ones_like(off)]))
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


def _top_class(labels: Floats, scores: Floats, resamples: Resamples) -> dict[str, Any]:
    right = (labels.argmax(axis=1) == scores.argmax(axis=1)).astype(np.float64)
    draws = _distance(right, scores.max(axis=1), resamples)
    return _intervals({name: draws[name] for name in ("ece", _NOISE)})


def _overall(task: Task, by_class: Mapping[str, Draws]) -> Draws:
    """Of all classes together: the mean, but Brier scores of exclusive classes add up."""
    names = next(iter(by_class.values()))
    means = {name: np.mean([draws[name] for draws in by_class.values()], axis=0) for name in names}
    share = len(by_class) if task is Task.MULTICLASS else 1
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
