"""What ``radrepro compare`` is given: recipes as they are here, or versions in MLflow's registry."""

from pathlib import Path

from pipeline.audit import contents, record, tree
from pipeline.audit.record import Record
from pipeline.versus import Contender
from stages import params
from stages.artifacts import evaluation, tables
from stages.artifacts.cohort import Cohort, Task
from stages.evaluate.params import EvaluateParams
from stages.runtime import UserError


def read(first: str, second: str) -> tuple[Contender, Contender, Task, tuple[str, ...], EvaluateParams, int]:
    """Two models by name, and how they are to be judged: as the cohort and params.yaml that are here say.

    Raises
    ------
    UserError
        If both names are one, a name is of no recipe and of no registered model, its predictions are not on this
        machine, or it tells other classes than the cohort has.
    """
    if first == second:
        raise UserError(f"'{first}' is compared with itself: name two models")
    cohort, seed = Cohort.read(), params.read("seed", int)
    one, other = (_contender(name, cohort.classes) for name in (first, second))
    return one, other, cohort.task, cohort.classes, params.read("evaluate", EvaluateParams), seed


def _contender(name: str, classes: tuple[str, ...]) -> Contender:
    recipes = params.read("recipes", dict[str, object])
    if name in recipes:
        return Contender(name, evaluation.read_predictions(name, classes))
    try:
        with record.opened(name) as version:
            path = _predictions(version)
            return Contender(version.label, tables.read(path, evaluation.predictions_schema(classes)))
    except UserError as error:
        raise UserError(f"'{name}' is none of the recipes ({', '.join(recipes)}), and: {error}") from None


def _predictions(version: Record) -> Path:
    """The table that judged the version, by its hash: in the workspace or in DVC's cache."""
    recipe = version.tags.get("best.recipe", "")
    table = evaluation.directory(recipe) / "predictions.parquet"
    found = contents.Contents({}).path(tree.chain(version).output(table))
    if found is None:
        raise UserError(
            f"{table} of {version.label} is neither here nor in DVC's cache: "
            f"'git checkout {version.commit[:12]} && dvc pull {table}' brings it"
        )
    return found
