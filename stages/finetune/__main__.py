"""models/<recipe>/: a classifier, trained as the recipe says. With ``--fold n`` folds/<recipe>/<n>/: of a fold."""

import argparse
import json
import sys

from stages import inference, networks, params, runtime
from stages.artifacts import cohort as cohorts
from stages.artifacts import features, folds, images, model, unlabelled, weights
from stages.artifacts.cohort import Cohort, Subset
from stages.artifacts.folds import Folds
from stages.finetune import domains
from stages.finetune.feed import Examples
from stages.finetune.params import LinearProbe, Recipe, Truncated
from stages.finetune.strategies import Problem, run
from stages.learning import devices, report
from stages.learning.live import live
from stages.learning.resume import Progress
from stages.loading import Images
from stages.networks import Header
from stages.settings import Settings


def main() -> None:
    """Load cohort and starting weights, follow the recipe, save model, history and training record."""
    recipe: Recipe = params.read(f"recipes.{name}", Recipe)  # type: ignore[arg-type]  # a union is no class
    seed, settings, cohort = params.read("seed", int), Settings(), Cohort.read()
    device = inference.device(settings.device)
    cached = recipe.weights == params.read("features.weights", str)
    rest = unlabelled.read(cohort)
    if fold is not None:
        whole, cohort = cohort, Folds.read().cohort(cohort, fold)
        rest = domains.apart(rest, whole, cohort.subset(Subset.TRAIN))
    target = domains.target(recipe, cohort, rest)
    train, val = (_examples(domains.source(recipe, cohort.subset(side)), cached) for side in (Subset.TRAIN, Subset.VAL))
    size = Images(cohort.frame).image_size
    backbone, width, start = networks.load_backbone(weights.path(recipe.weights), size)
    problem = Problem(cohort.task, cohort.classes, train, val, backbone, width, start.architecture, size, target)
    files = [
        cohorts.PATH,
        *([] if fold is None else [folds.PATH]),
        unlabelled.PATH,
        weights.path(recipe.weights),
        *map(images.directory, sorted({*cohort.frame["batch"], *rest["batch"]})),
    ]
    settled = json.dumps([recipe.model_dump(), seed, device.type, devices.world(), fold])
    curves = settings.live and devices.rank() == 0 and not isinstance(recipe, LinearProbe)

    with live(item, recipe.model_dump(), enabled=curves) as on_epoch:
        told = report.into(settings.epochs if devices.rank() == 0 else "", on_epoch)
        result = run(recipe, problem, seed, device, told, Progress(f"{stage}@{item}", settled, files))

    if devices.rank() == 0:
        kept = recipe.blocks if isinstance(recipe, Truncated) else 0
        hidden = () if isinstance(recipe, LinearProbe) else tuple(recipe.hidden)
        header = Header(
            start.architecture,
            start.source,
            size,
            cohort.classes,
            cohort.task.value,
            blocks=kept,
            hidden=hidden,
            black_white=start.black_white,
            temperature=result.training["calibration"]["temperature"],
        )
        with runtime.atomic_directory(product.parent) as folder:
            networks.save_classifier(folder / product.name, result.classifier, header)
            model.write_history(folder / model.history_path(name).name, result.history)
            runtime.write_json(folder / model.training_path(name).name, result.training)


def _examples(side: Cohort, cached: bool) -> Examples:
    return Examples(Images(side.frame), side.labels(), features.of(side.frame) if cached else None)


def _arguments() -> tuple[str, int | None]:
    parser = argparse.ArgumentParser("python -m stages.finetune", description="DVC calls this; run 'dvc repro'.")
    parser.add_argument("recipe")
    parser.add_argument("--fold", type=int, help="of cross-validation: which one is left out")
    given = parser.parse_args()
    return given.recipe, given.fold


if __name__ == "__main__":
    name, fold = _arguments()
    stage, item = ("finetune", name) if fold is None else ("fold", f"{name}-{fold}")  # as DVC calls it
    product = model.weights_path(name, fold)
    devices.launch("stages.finetune", sys.argv[1:], Settings().devices)
    runtime.run(stage, main, item, product)
