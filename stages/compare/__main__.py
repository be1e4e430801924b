"""``python -m stages.compare``: reports/comparison.json and reports/comparison.html."""

from stages import params, runtime
from stages.artifacts import evaluation, intake, looks, model, shortcuts
from stages.artifacts.cohort import Cohort, Subset
from stages.compare import comparison, page
from stages.evaluate.params import EvaluateParams
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
    found = shortcuts.read()
    compared["warnings"] = found["warnings"]
    runtime.write_json(evaluation.COMPARISON_PATH, compared)
    curves = {name: evaluation.curve(name, "roc") for name in recipes}
    pages.write(evaluation.COMPARISON_REPORT_PATH, page.build(compared, curves, cohort.counts(), intake.read(), found))
    runtime.log.info("chosen by val: %s", compared["best"])


if __name__ == "__main__":
    runtime.run("compare", main)
