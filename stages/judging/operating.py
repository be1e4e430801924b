"""Where a score becomes a decision: the threshold by a named rule on val, and what it is worth elsewhere."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from stages.judging import bootstrap, metrics, ranking
from stages.judging.bootstrap import Floats, Interval
from stages.judging.metrics import Judged, Metrics
from stages.judging.params import Rule
from stages.runtime import UserError


def thresholds(judged: Judged, rule: Rule) -> dict[str, float]:
    """For each class that counts, the threshold by ``rule`` on these images: those of val.

    Raises
    ------
    UserError
        If no image has a known label of a class.
    """
    found = {}
    for k, name in zip(judged.columns, judged.counted, strict=True):
        ranked = ranking.rank(judged.labels[:, k], judged.scores[:, k])
        if not len(ranked.order):
            raise UserError(f"val has no image with a known label of '{name}': label some, or leave the class out")
        found[name] = threshold(ranked, rule)
    return found


def threshold(ranked: ranking.Ranking, rule: Rule) -> float:
    """The threshold by ``rule``; an image whose score reaches it is called positive.

    It is the score of one of the images, or just above the highest: then nothing is called. Of equally good ones it is
    the higher. NaN-free: where val has no positives or no negatives, all thresholds are equally good.
    """
    hits, alarms = (np.append(0.0, side[0]) for side in ranking.curve(ranked, np.ones((1, ranked.order.max() + 1))))
    cuts = np.append(np.nextafter(np.float32(ranked.scores[0]), np.float32(np.inf)), ranked.scores)
    sensitivity, specificity = hits / max(hits[-1], 1), 1 - alarms / max(alarms[-1], 1)
    if rule.youden:
        return float(cuts[int(np.argmax(sensitivity + specificity))])
    if rule.cost is not None:
        return float(cuts[int(np.argmin(rule.cost * (hits[-1] - hits) + alarms))])
    if rule.sensitivity is not None:
        return float(cuts[int(np.argmax(sensitivity >= rule.sensitivity))])
    assert rule.specificity is not None
    return float(cuts[np.flatnonzero(specificity >= rule.specificity)[-1]])


def words(rule: Rule) -> str:
    """The rule as a reader of the report needs it."""
    if rule.youden:
        return "by Youden's rule"
    if rule.cost is not None:
        return f"at the least cost, a miss costing {rule.cost:g} false alarms"
    if rule.sensitivity is not None:
        return f"for a sensitivity of {rule.sensitivity:g} or more"
    return f"for a specificity of {rule.specificity:g} or more"


def points(
    classes: Mapping[str, Metrics],
    entries: Mapping[str, Mapping[str, Interval]],
    cuts: Mapping[str, float],
    prevalence: Mapping[str, float],
) -> dict[str, dict[str, Any]]:
    """For each class: its threshold, what it reaches with intervals, and PPV and NPV at a stated prevalence.

    At a prevalence other than that of the images, PPV and NPV follow from sensitivity and specificity by Bayes' rule
    (Altman and Bland 1994), resample by resample; ``prevalence`` may name only some classes.
    ``entries`` are the same metrics with their intervals.
    """
    return {name: _point(found, entries[name], cuts[name], prevalence.get(name)) for name, found in classes.items()}


def _point(found: Metrics, entries: Mapping[str, Interval], cut: float, prevalence: float | None) -> dict[str, Any]:
    point: dict[str, float | Interval] = {
        "threshold": cut,
        **{name: entries[name] for name in ("sensitivity", "specificity", "ppv", "npv")},
        "lr_positive": _of_both(lambda hit, passed: metrics.ratio(hit, 1 - passed), found, entries),
        "lr_negative": _of_both(lambda hit, passed: metrics.ratio(1 - hit, passed), found, entries),
    }
    if prevalence is not None:
        point["prevalence"] = prevalence
        ppv = _of_both(lambda hit, passed: predictive(hit, passed, prevalence), found, entries)
        npv = _of_both(lambda hit, passed: predictive(passed, hit, 1 - prevalence), found, entries)
        point |= {"ppv_at_prevalence": ppv, "npv_at_prevalence": npv}
    return point


def _of_both(what: Callable[[Floats, Floats], Floats], found: Metrics, entries: Mapping[str, Interval]) -> Interval:
    """Of sensitivity and specificity together.

    Where one of them is 0 or 1 every draw says so, and resampling knows nothing of how far it may be off: then the
    interval spans what the ends of both their intervals give.
    """
    both = [entries[name] for name in ("sensitivity", "specificity")]
    drawn = bootstrap.interval(what(found["sensitivity"], found["specificity"]))
    if any(end is None for entry in both for end in entry.values()) or not any(e["value"] in {0, 1} for e in both):
        return drawn
    ends = [np.array([[entry["low"]], [entry["high"]]], dtype=np.float64) for entry in both]
    spanned = what(ends[0], ends[1].T)
    low, high = (np.nan, np.nan) if np.isnan(spanned).all() else (np.nanmin(spanned), np.nanmax(spanned))
    unbounded = bool(np.isnan(spanned).any())  # nothing below: a likelihood ratio has no upper end
    return bootstrap.entry(
        np.nan if drawn["value"] is None else drawn["value"], float(low), np.nan if unbounded else float(high)
    )


def predictive(right: Floats, other: Floats, share: float) -> Floats:
    """Of those decided one way, the share that is so.

    ``share`` is how many are, ``right`` how many of them are decided so, ``other`` how many of the rest are not.
    """
    return metrics.ratio(right * share, right * share + (1 - other) * (1 - share))
