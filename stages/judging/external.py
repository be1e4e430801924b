"""From the hospitals that trained a model to those that did not: how much of it is lost."""

from stages.judging import bootstrap
from stages.judging.bootstrap import Interval
from stages.judging.metrics import Metrics


def drop(test: Metrics, external: Metrics) -> dict[str, Interval]:
    """Of each metric, test less external, with its interval.

    The two sides share no patient, so each was resampled by itself: their draws must be of different seeds.
    """
    return {name: bootstrap.interval(test[name] - external[name]) for name in test}
