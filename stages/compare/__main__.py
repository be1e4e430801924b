"""``python -m stages.compare``: reports/comparison.json and reports/comparison.html."""

from stages import params, runtime
from stages.artifacts import crossval, evaluation, intake, looks, model, shortcuts
from stages.artifacts.cohort import Cohort, Subset
from stages.compare import comparison, page
from stages.evaluate.params import EvaluateParams
from stages.reports import folds_section
from stages.reports import page as pages


def main() -> None:
    """Read every recipe's evaluation, compare, save; the page also tells what became of the files that came in."""
    section, seed = params.read("evaluate", EvaluateParams), params.read("seed", int)
    recipes = list(params.read("recipes", dict[str, object]))
    cohort = Cohort.read()
    compared = comparison.compare(
        recipes,
        {name: evaluation.read(name) for name in recipes},
        {name: model.training(name) for name in recipes},
        {name: evaluation.read_predictions(name, cohort.classes) for name in recipes},
        cohort.task,
        cohort.classes,
        section.resamples,
        seed,
    )
    compared["test_looks"] = looks.count(looks.key(cohort.subset(Subset.TEST)))
    crossed = {name: crossval.read(name) for name in params.read("cross_validation.recipes", list[str])}
    compared["cross_validation"] = {name: crossval.headline(found) for name, found in crossed.items()}
    found = shortcuts.read()
    compared["warnings"] = found["warnings"]
    runtime.write_json(evaluation.COMPARISON_PATH, compared)
    curves = {name: evaluation.curve(name, "roc") for name in recipes}
    content = page.build(compared, curves, cohort.counts(), intake.read(), found)
    if crossed:
        tables = [*content.tables, folds_section.comparison(crossed)]
        content = content._replace(tables=tables, notes=[*content.notes, *folds_section.NOTES])
    pages.write(evaluation.COMPARISON_REPORT_PATH, content)
    runtime.log.info("chosen by val: %s", compared["best"])


if __name__ == "__main__":
    runtime.run("compare", main)
