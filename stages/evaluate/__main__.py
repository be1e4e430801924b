"""``python -m stages.evaluate <recipe>``: predictions, metrics, curves and the report of one model."""

import numpy as np
import pandas as pd
import torch

from stages import inference, networks, params, runtime
from stages.artifacts import evaluation, looks, model
from stages.artifacts.cohort import Cohort, Subset
from stages.evaluate import report
from stages.evaluate.params import EvaluateParams
from stages.judging import bootstrap, curves, judge
from stages.loading import Images
from stages.reports import page
from stages.settings import Settings


def main() -> None:
    """Predict val and test, judge, note that test was looked at, save."""
    section, seed = params.read("evaluate", EvaluateParams), params.read("seed", int)
    cohort = Cohort.read()
    held_out = cohort.frame[cohort.frame["subset"] != Subset.TRAIN.value].reset_index(drop=True)
    pixels = Images(held_out)

    classifier, header = networks.load_classifier(model.weights_path(recipe))
    logits = inference.logits(classifier, pixels, inference.device(Settings().device))
    scores = networks.probabilities(torch.from_numpy(logits), header.task).numpy()
    predictions = evaluation.predictions(held_out, cohort.classes, scores)

    metrics = judge.judge(predictions, cohort.task, cohort.classes, section, seed)
    on_test = predictions["subset"] == Subset.TEST.value
    test = judge.judged(predictions[on_test], cohort.task, cohort.classes)
    resamples = bootstrap.resample(predictions[on_test]["patient"].tolist(), section.resamples, seed)

    looks.record(looks.key(cohort.subset(Subset.TEST)), model.weights_path(recipe), recipe)
    evaluation.write_predictions(recipe, predictions, cohort.classes)
    evaluation.write_curve(recipe, "roc", curves.roc(test))
    evaluation.write_curve(recipe, "precision_recall", curves.precision_recall(test))
    evaluation.write_curve(recipe, "confusion", curves.decisions(test, metrics["thresholds"]))
    evaluation.write(recipe, metrics)
    history = pd.read_csv(model.history_path(recipe))
    training = model.training(recipe)
    shown = pixels.fetch(np.flatnonzero(on_test))
    content = report.build(recipe, metrics, cohort, test, resamples, history, training, shown, section)
    page.write(evaluation.report_path(recipe), content)
    runtime.log.info("test AUROC %s", report.interval(metrics["test"]["auroc"]))


if __name__ == "__main__":
    recipe = runtime.argument("recipe")
    runtime.run("evaluate", main, recipe)
