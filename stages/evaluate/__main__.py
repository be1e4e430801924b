"""``python -m stages.evaluate <recipe>``: predictions, metrics, curves and the report of one model."""

import numpy as np
import pandas as pd
import torch

from stages import inference, networks, params, runtime
from stages.artifacts import errors as error_table
from stages.artifacts import evaluation, looks, model, shortcuts
from stages.artifacts.cohort import Cohort, Subset
from stages.evaluate import cases, cases_section, errors, explain, report
from stages.evaluate.params import EvaluateParams
from stages.judging import abstention, bootstrap, calibration, curves, judge, subgroups
from stages.loading import Images
from stages.reports import page, shown
from stages.settings import Settings


def main() -> None:
    """Predict all that was not trained on, judge, note that test was looked at, save."""
    section, seed = params.read("evaluate", EvaluateParams), params.read("seed", int)
    cohort = Cohort.read()
    held_out = cohort.frame[cohort.frame["subset"] != Subset.TRAIN.value].reset_index(drop=True)
    pixels = Images(held_out)

    classifier, header = networks.load_classifier(model.weights_path(recipe))
    logits = inference.logits(classifier, pixels, inference.device(Settings().device))
    exact = torch.from_numpy(logits).double()
    scores = networks.probabilities(exact, header.task, header.temperature).numpy()
    predictions = evaluation.predictions(held_out, cohort.classes, scores, logits)

    metrics = judge.judge(predictions, cohort.task, cohort.classes, section, seed, header.temperature)
    cuts = metrics["thresholds"]
    on_test = predictions["subset"] == Subset.TEST.value
    of_test, tested = predictions[on_test], held_out[on_test]
    test, patients = judge.judged(of_test, cohort.task, cohort.classes), of_test["patient"].tolist()
    groups = subgroups.attributes(tested, section.age_bands)
    metrics["test"]["subgroups"] = subgroups.judge(test, cuts, groups, patients, section.subgroup_patients)
    said = judge.logits(of_test, cohort.classes)
    plots = {
        "roc": curves.roc(test),
        "precision_recall": curves.precision_recall(test),
        "confusion": curves.decisions(test, cuts),
        "reliability": calibration.diagram(test, said, header.temperature, judge.numbered(patients)),
        "risk_coverage": abstention.curve(test, cuts),
    }
    wrong = errors.table(test, cuts, tested)
    chosen = cases.of_each_class(test, cuts, section.cases)
    worst = cases_section.worst(wrong, section.cases)
    wanted = sorted({*(case.row for group in chosen for case in group.cases), *worst["row"]})
    pictured = dict(zip(wanted, pixels.fetch(np.flatnonzero(on_test)[wanted]), strict=True)) if wanted else {}
    seen = explain.explain(classifier, header, [case for group in chosen for case in group.cases], pictured, seed)
    metrics["maps"] = explain.summary(seen)

    looks.record(looks.key(cohort.subset(Subset.TEST)), model.weights_path(recipe), recipe)
    evaluation.write_predictions(recipe, predictions, cohort.classes)
    evaluation.write(recipe, metrics)
    error_table.write(recipe, wrong)
    for name, plot in plots.items():
        evaluation.write_curve(recipe, name, plot)
    content = report.build(
        recipe,
        metrics,
        cohort,
        test,
        bootstrap.resample(patients, section.resamples, seed),
        plots,
        pd.read_csv(model.history_path(recipe)),
        model.training(recipe),
        section,
        shortcuts.read(),
        pictures=[*cases_section.strips(chosen, seen, pictured), *cases_section.sheet(worst, pictured)],
        notes=cases_section.notes(seen, pixels=bool(section.cases)),
    )
    page.write(evaluation.report_path(recipe), content)
    runtime.log.info("test AUROC %s", shown.number(metrics["test"]["auroc"]))


if __name__ == "__main__":
    recipe = runtime.argument("recipe")
    runtime.run("evaluate", main, recipe)
