"""``python -m stages.card <recipe>``: reports/cards/<recipe>.json and .md, what is known of a model in one place."""

import hashlib
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import safe_open

from stages import params, runtime
from stages.artifacts import card as artifact
from stages.artifacts import evaluation, index, intake, model
from stages.artifacts.cohort import EXCLUDED_PATH, Cohort
from stages.card import answers, card, markdown, packages
from stages.card.facts import Facts
from stages.card.params import CardParams
from stages.evaluate.params import EvaluateParams
from stages.finetune.params import Recipe
from stages.preprocess.params import PreprocessParams
from stages.split.params import SplitParams


def main() -> None:
    """Gather, build, save."""
    file = Path(params.read("card", CardParams).answers)
    given = answers.read(file)
    content = card.build(_facts(), given)
    artifact.write(recipe, content, markdown.render(content, file.as_posix()))
    filled = sum(item["status"] == card.FILLED for item in content["claim"])
    runtime.log.info("%d of %d items of CLAIM are filled; %s", filled, len(content["claim"]), _left(content, file))


def _facts() -> Facts:
    settings: Recipe = params.read(f"recipes.{recipe}", Recipe)  # type: ignore[arg-type]  # a union is no class
    cohort = Cohort.read()
    files = pd.concat([index.read(batch) for batch in sorted(cohort.frame["batch"].unique())], ignore_index=True)
    weights = model.weights_path(recipe)
    with safe_open(weights, framework="np") as opened:
        header: dict[str, str] = opened.metadata() or {}
    with weights.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    return Facts(
        recipe=recipe,
        settings=settings,
        seed=params.read("seed", int),
        split=params.read("split", SplitParams),
        preprocess=params.read("preprocess", PreprocessParams),
        judging=params.read("evaluate", EvaluateParams),
        burned_in_absent=params.read("ingest.burned_in_absent", str),
        cohort=cohort,
        excluded=pd.read_csv(EXCLUDED_PATH, dtype=str),
        intake=intake.read(),
        stored=files[files["instance"].isin(cohort.frame["instance"])],
        header=header,
        sha256=sha256,
        training=model.training(recipe),
        evaluation=evaluation.read(recipe),
        decisions=evaluation.curve(recipe, "confusion"),
        comparison=runtime.read_json(evaluation.COMPARISON_PATH),
        packages=packages.pinned(Path("requirements.lock").read_text(encoding="utf-8")),
    )


def _left(content: dict[str, Any], file: Path) -> str:
    waiting = len(content["asked"])
    return f"{waiting} questions wait in {file}" if waiting else "every question is answered"


if __name__ == "__main__":
    recipe = runtime.argument("recipe")
    runtime.run("card", main, recipe)
