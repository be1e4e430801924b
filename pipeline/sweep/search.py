"""The search: which values are tried next, what came of them, and how it goes on where it stopped.

Tree-structured Parzen estimators (Bergstra et al. 2011) propose; a trial whose best val AUROC so far is below the
median of the others at the same epoch is ended early (Golovin et al. 2017, Optuna's MedianPruner).
"""

import json
import logging
import math
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from filelock import FileLock, Timeout
from optuna import Study, Trial
from optuna.pruners import BasePruner, MedianPruner
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from pipeline.sweep import space, trial
from pipeline.sweep.clone import Clone
from pipeline.sweep.space import Dimension
from pipeline.tracking import trials as tracking
from stages import params, runtime
from stages.artifacts.model import Epoch
from stages.runtime import UserError

SWEEPS = runtime.STATE / "sweeps"
PRUNER = MedianPruner(n_startup_trials=5, n_warmup_steps=3)
"""Five trials are seen to the end, and every trial is given three epochs."""

_HOPELESS = 3

log = logging.getLogger("radrepro")


def search(recipe: str, dimensions: Sequence[Dimension], trials: int, seed: int, pruner: BasePruner = PRUNER) -> Study:
    """Go on until ``trials`` trials have finished in all: with a model, ended early, or failed.

    A trial that was interrupted counts as not run, and its values come again. The proposals depend on ``seed`` and on
    what the trials before found, not on how often the sweep was stopped. MLflow hears of each trial when it has ended.

    Raises
    ------
    UserError
        If another process is at this sweep, its earlier trials had other settings, or every trial failed.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with _alone(recipe) as folder:
        study = _opened(folder, recipe, dimensions, seed)
        if _goes_on(done := finished(study), trials):
            clone = Clone(folder / "copy")
            if done and (before := done[-1].user_attrs["commit"]) != clone.commit:
                log.warning("earlier trials are of commit %s, the next of %s", before, clone.commit)
        status = "KILLED"
        try:
            while _goes_on(done, trials):
                study = _opened(folder, recipe, dimensions, seed, len(done), pruner)
                _one(study, clone, recipe, dimensions, folder)
                _tell(study, "RUNNING")
                done = finished(study)
            status = "FINISHED" if best_first(study) else "FAILED"
        finally:
            _tell(study, status)
    if status == "FAILED":
        reason = done[-1].user_attrs.get("reason", "ended early")
        raise UserError(f"none of {len(done)} trials came to a model; the last: {reason}: mend that, and --restart")
    return study


def _goes_on(done: Sequence[FrozenTrial], trials: int) -> bool:
    """Whether there are trials to come. Where the first ones fail, all of them, so would the others."""
    hopeless = len(done) >= _HOPELESS and all(one.state is TrialState.FAIL for one in done)
    return len(done) < trials and not hopeless


def finished(study: Study) -> list[FrozenTrial]:
    """The trials that count, in order: those that were interrupted do not."""
    return [
        one
        for one in study.get_trials(deepcopy=False)
        if one.state in {TrialState.COMPLETE, TrialState.PRUNED} or "reason" in one.user_attrs
    ]


def best_first(study: Study) -> list[FrozenTrial]:
    """The trials with a model, by val AUROC; the first of equals first."""
    found = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sorted(found, key=lambda one: -(one.value or 0))


def forget(recipe: str) -> None:
    """Begin anew: the trials of before are forgotten here, but not their experiments in DVC and MLflow."""
    with _alone(recipe) as folder:
        _journal(folder).unlink(missing_ok=True)


@contextmanager
def _alone(recipe: str) -> Iterator[Path]:
    lock = runtime.STATE / "locks" / f"sweep@{recipe}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=0):
            folder = SWEEPS.resolve() / recipe
            folder.mkdir(parents=True, exist_ok=True)
            yield folder
    except Timeout:
        raise UserError(f"another process is at the sweep of '{recipe}': wait for it, or stop it") from None


def _journal(folder: Path) -> Path:
    return folder / "trials.journal"


def _opened(
    folder: Path,
    recipe: str,
    dimensions: Sequence[Dimension],
    seed: int,
    count: int = 0,
    pruner: BasePruner | None = None,
) -> Study:
    """The study as its journal has it; its sampler draws by how many trials have finished: a stop changes nothing."""
    (drawn,) = np.random.SeedSequence([seed, count]).generate_state(1)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(_journal(folder)))),
        sampler=TPESampler(seed=int(drawn)),
        pruner=pruner,
        study_name=recipe,
        direction="maximize",
        load_if_exists=True,
    )
    common = {"settings": space.settings(params.load(), recipe, dimensions), "seed": seed}
    common["space"] = {one.name: str(one.distribution) for one in dimensions}
    text = json.dumps(common, sort_keys=True, default=str)
    if "common" not in study.user_attrs:
        study.set_user_attr("common", text)
        study.set_user_attr("id", uuid.uuid4().hex)
        study.set_user_attr("recipe", recipe)
        study.set_user_attr("space", {one.name: one.text.partition("=")[2] for one in dimensions})
    elif study.user_attrs["common"] != text:
        differences = _differences(json.loads(study.user_attrs["common"]), json.loads(text))
        raise UserError(
            f"the trials of '{recipe}' so far had {differences}: put that back and go on, or begin anew with --restart"
        )
    for left in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):  # by a killed sweep: we hold the lock
        study.tell(left.number, state=TrialState.FAIL)
    return study


def _differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    names = [name for name in before["settings"] if before["settings"][name] != now["settings"].get(name)]
    named = [f"other settings in {', '.join(names)}"] if names else []
    named += ["another seed"] if before["seed"] != now["seed"] else []
    named += ["another --set"] if before["space"] != now["space"] else []
    return " and ".join(named) or "other settings"


def _one(study: Study, clone: Clone, recipe: str, dimensions: Sequence[Dimension], folder: Path) -> None:
    asked = study.ask({one.name: one.distribution for one in dimensions})
    values = {one.path: one.tidy(asked.params[one.name]) for one in dimensions}
    shown = {one.name: values[one.path] for one in dimensions}
    # another sweep's experiments have other names; git takes no two dots in one
    experiment = f"{recipe.replace('.', '-')}-{study.user_attrs['id'][:4]}-{asked.number}"
    for name, value in {"values": shown, "experiment": experiment, "commit": clone.commit}.items():
        asked.set_user_attr(name, value)
    words = ", ".join(f"{one.path[-1]}={space.shown(values[one.path])}" for one in dimensions)
    log.info("trial %d: %s", asked.number, words)
    watch = _Watch(asked)
    try:
        outcome = _tried(clone, experiment, recipe, folder, values, watch)
    except BaseException:
        study.tell(asked, state=TrialState.FAIL)  # without a reason: it was interrupted, and will come again
        raise
    if outcome.reason:
        asked.set_user_attr("reason", outcome.reason)
        study.tell(asked, state=TrialState.FAIL)
        log.warning("trial %d failed: %s", asked.number, outcome.reason)
    elif outcome.val_auroc is None:
        study.tell(asked, state=TrialState.PRUNED)
        log.info("trial %d: ended early, after %d epochs", asked.number, len(watch.seen))
    else:
        study.tell(asked, outcome.val_auroc)
        log.info("trial %d: val AUROC %.4f", asked.number, outcome.val_auroc)


def _tried(
    clone: Clone, experiment: str, recipe: str, folder: Path, values: dict[tuple[str, ...], Any], watch: "_Watch"
) -> trial.Outcome:
    try:
        clone.renew(values)
    except UserError as error:  # each value is sound by itself, but not these together
        return trial.Outcome(reason=str(error))
    return trial.run(clone, experiment, recipe, folder, watch.worth_it)


class _Watch:
    """What the sweep knows of a running trial."""

    def __init__(self, asked: Trial) -> None:
        self._asked = asked
        self.seen: set[int] = set()

    def worth_it(self, epoch: Epoch) -> bool:
        """Note an epoch, and say whether to go on. One that was noted is no news: it may be told more than once."""
        if epoch["epoch"] in self.seen or math.isnan(epoch["val_auroc"]):
            return True
        self.seen.add(epoch["epoch"])
        self._asked.report(epoch["val_auroc"], epoch["epoch"])
        log.info("trial %d, epoch %d: val AUROC %.3f", self._asked.number, epoch["epoch"], epoch["val_auroc"])
        return not self._asked.should_prune()


def _tell(study: Study, status: str) -> None:
    """Tell MLflow so far. Trials are worth more than their log: what fails here is told again the next time."""
    try:
        tracking.log(study, finished(study), status)
    except UserError as error:
        log.warning("the sweep is not in MLflow yet, and goes on: %s", error)
