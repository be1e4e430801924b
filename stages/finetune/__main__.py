"""models/<recipe>/: a classifier, trained as the recipe says."""

from stages import inference, networks, params, runtime
from stages.artifacts import features, model, weights
from stages.artifacts.cohort import Cohort, Subset
from stages.finetune.live import live
from stages.finetune.params import Recipe
from stages.finetune.strategies import Problem, run
from stages.finetune.training import Examples
from stages.loading import Images
from stages.networks import Header
from stages.settings import Settings


def main() -> None:
    """Load cohort and starting weights, follow the recipe, save model, history and training record."""
    recipe: Recipe = params.read(f"recipes.{name}", Recipe)  # type: ignore[arg-type]  # a union is no class
    probe = recipe.strategy == "linear_probe"
    cached = probe and recipe.weights == params.read("features.weights", str)
    settings, cohort = Settings(), Cohort.read()
    train, val = (_examples(cohort.subset(side), cached) for side in (Subset.TRAIN, Subset.VAL))
    size = Images(cohort.frame).image_size
    backbone, width, start = networks.load_backbone(weights.path(recipe.weights), size)
    problem = Problem(cohort.task, cohort.classes, train, val, backbone, width, start.architecture)

    with live(name, recipe.model_dump(), enabled=settings.live and not probe) as on_epoch:
        result = run(recipe, problem, params.read("seed", int), inference.device(settings.device), on_epoch)

    header = Header(start.architecture, start.source, size, cohort.classes, cohort.task.value)
    with runtime.atomic_directory(model.directory(name)) as folder:
        networks.save_classifier(folder / model.weights_path(name).name, result.classifier, header)
        model.write_history(folder / model.history_path(name).name, result.history)
        runtime.write_json(folder / model.training_path(name).name, result.training)


def _examples(side: Cohort, cached: bool) -> Examples:
    return Examples(Images(side.frame), side.labels(), features.of(side.frame) if cached else None)


if __name__ == "__main__":
    name = runtime.argument("recipe")
    runtime.run("finetune", main, name, model.weights_path(name))
