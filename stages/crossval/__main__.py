"""``python -m stages.crossval <recipe>``: out-of-fold predictions of one recipe, and what they say together."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from stages import inference, networks, params, runtime
from stages.artifacts import crossval, model
from stages.artifacts.cohort import Cohort, Subset
from stages.artifacts.folds import Folds
from stages.crossval import page, pooling
from stages.evaluate.params import EvaluateParams
from stages.loading import Images
from stages.reports import folds_section
from stages.reports import page as pages
from stages.settings import Settings


def main() -> None:
    """Let each model predict the fold that it is judged on and the one that chose for it; judge, pool, save."""
    section, seed = params.read("evaluate", EvaluateParams), params.read("seed", int)
    cohort, dealt = Cohort.read(), Folds.read()
    parts = []
    for fold in range(1, dealt.count + 1):
        side = dealt.cohort(cohort, fold)
        held = side.frame[side.frame["subset"] != Subset.TRAIN.value].reset_index(drop=True)
        parts.append(crossval.predictions(held, cohort.classes, fold, _scores(model.weights_path(recipe, fold), held)))
    predictions = pd.concat(parts, ignore_index=True)

    found = pooling.pool(predictions, cohort.task, cohort.classes, section, seed)
    sides = cohort.frame["subset"].isin([Subset.TRAIN.value, Subset.VAL.value])
    found["left_out"] = int(sides.sum()) - len(dealt.frame)
    training = [model.training(recipe, fold) for fold in range(1, dealt.count + 1)]

    crossval.write_predictions(recipe, predictions, cohort.classes)
    crossval.write(recipe, found)
    judged = predictions[predictions["role"] == crossval.JUDGED]
    pages.write(crossval.report_path(recipe), page.build(recipe, found, judged, cohort.task, cohort.classes, training))
    runtime.log.info(
        "AUROC %s: mean of %d folds, %d patients",
        folds_section.interval(found["mean"]["auroc"]),
        dealt.count,
        found["patients"],
    )


def _scores(weights: Path, held: pd.DataFrame) -> npt.NDArray[np.float64]:
    """(N, K) probabilities of the images of ``held``."""
    classifier, header = networks.load_classifier(weights)
    logits = inference.logits(classifier, Images(held), inference.device(Settings().device))
    exact = torch.from_numpy(logits).double()
    scores: npt.NDArray[np.float64] = networks.probabilities(exact, header.task, header.temperature).numpy()
    return scores


if __name__ == "__main__":
    recipe = runtime.argument("recipe")
    runtime.run("crossval", main, recipe)
