"""What a sweep found, in words, and the winner's values into params.yaml."""

from optuna import Study
from optuna.trial import TrialState

from pipeline import edit, text
from pipeline.sweep import search, space
from pipeline.sweep.space import Dimension

_SHOWN = 10
HOW_TO_APPLY = "to take it: the same command with --apply, then dvc repro"


def report(study: Study) -> str:
    """The best trials as a table, and the winner's settings."""
    best = search.best_first(study)
    names = list(best[0].user_attrs["values"])
    rows = [
        [
            one.user_attrs["experiment"],
            f"{one.value:.4f}",
            *(space.shown(one.user_attrs["values"][name]) for name in names),
        ]
        for one in best[:_SHOWN]
    ]
    done = search.finished(study)
    pruned = sum(one.state is TrialState.PRUNED for one in done)
    failed = sum(one.state is TrialState.FAIL for one in done)
    table = text.table(["experiment", "val AUROC", *(name.rpartition(".")[2] for name in names)], rows)
    counts = f"{len(done)} trials: {len(best)} to the end, {pruned} ended early, {failed} failed"
    winner = best[0].user_attrs
    settings = " ".join(f"-S {name}={space.shown(value)}" for name, value in winner["values"].items())
    return f"{table}\n\n{counts}; test was not looked at\nwinner   {winner['experiment']}: {settings}"


def apply(study: Study, dimensions: list[Dimension]) -> str:
    """Write the winner's values into params.yaml; what to do next."""
    values = search.best_first(study)[0].user_attrs["values"]
    edit.edit({one.path: values[one.name] for one in dimensions})
    return (
        "params.yaml now has the winner's values. Next: dvc repro, which takes its model from DVC's cache and judges "
        "it on test, once"
    )
