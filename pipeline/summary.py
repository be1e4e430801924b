"""The results in words: for MLflow's and Prefect's pages of a run."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stages import params, runtime
from stages.artifacts import evaluation, intake, model, weights
from stages.runtime import STATE, records

LAST_RUN = STATE / "last_run.json"
"""Where MLflow keeps the last run that was tracked here; beside DVC's outputs, for it differs every time."""

COSTS = ("seconds", "peak_mib")
SHOWN = {"auroc": "AUROC", "auprc": "AUPRC", "balanced_accuracy": "balanced accuracy", "brier": "Brier"}

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
"""A header and rows."""


def last_run() -> dict[str, str]:
    """Read :data:`LAST_RUN`. Raises :class:`UserError` if nothing was tracked here."""
    return runtime.read_json(LAST_RUN)


def markdown(stages: Sequence[tuple[str, str, float]], went_well: bool) -> str:
    """A page about one run: ``stages`` are name, how it went, and seconds."""
    rows = [[name, how, f"{seconds:.1f}"] for name, how, seconds in stages]
    rows.append(["**all**", "", f"{sum(seconds for *_, seconds in stages):.1f}"])
    parts = ["## Stages", table((["stage", "", "seconds"], rows))]
    if went_well:
        parts = ["## Recipes", table(recipes()), "## Data", f"{intake.words(intake.read()['total'])}.", *parts]
    return "\n\n".join(parts)


def training_cost(recipe: str) -> dict[str, float]:
    """``seconds`` and ``peak_mib`` of the training that made the model which is here; empty if that was elsewhere.

    The last training on this machine may have been another one: DVC brings earlier models back from its cache.
    """
    return _cost(f"finetune@{recipe}", model.weights_path(recipe))


def pretraining_cost(name: str) -> dict[str, float]:
    """As :func:`training_cost`, of an entry of ``self_supervised`` and the weights that it made."""
    return _cost(f"pretrain@{name}", weights.path(name))


def _cost(stage: str, product: Path) -> dict[str, float]:
    record = records().get(stage, {})
    if not product.exists():
        return {}
    with product.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != record.get("product_sha256"):
            return {}
    return {name: record[name] for name in COSTS}


def recipes() -> Table:
    """The recipes as the workspace has them. Raises :class:`UserError` if something is missing."""
    names = list(params.read("recipes", dict[str, Any]))
    best = runtime.read_json(evaluation.COMPARISON_PATH)["best"]
    rows = [
        comparison_row(
            name,
            evaluation.read(name),
            runtime.read_json(model.training_path(name)),
            training_cost(name).get("seconds"),
            name == best,
        )
        for name in names
    ]
    return COMPARISON_HEADER, rows


_ON_TEST = [f"{name} test" for name in SHOWN.values()]
COMPARISON_HEADER = ["recipe", "AUROC val", *_ON_TEST, "trainable parameters", "seconds"]


def comparison_row(
    name: str, metrics: Mapping[str, Any], training: Mapping[str, Any], seconds: float | None, best: bool
) -> list[str]:
    """One recipe's line of the comparison, the best in bold."""
    return [
        f"**{name}**" if best else name,
        value(metrics, "val", "auroc"),
        *(interval(metrics, "test", shown) for shown in SHOWN),
        f"{training['trainable_parameters']:,}",
        "" if seconds is None else f"{seconds:.0f}",
    ]


def interval(metrics: Mapping[str, Any], side: str, name: str) -> str:
    """``0.912 (0.880 to 0.941)``."""
    found = metrics.get(side, {}).get(name) or {}
    if found.get("low") is None or found.get("high") is None:
        return value(metrics, side, name)
    return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


def estimate(metrics: Mapping[str, Any], side: str, name: str) -> dict[str, float | None] | None:
    """``{"value": 0.912, "low": 0.88, "high": 0.941}``, each None where it is undefined; None where there is none."""
    found = metrics.get(side, {}).get(name)
    return {key: found.get(key) for key in ("value", "low", "high")} if found else None


def value(metrics: Mapping[str, Any], side: str, name: str) -> str:
    """``0.912``, or ``undefined``, as an AUROC is where one class is absent."""
    found = (metrics.get(side, {}).get(name) or {}).get("value")
    return "undefined" if found is None else f"{found:.3f}"


def table(content: Table, pad: str = "") -> str:
    """A table in Markdown, with ``pad`` after each cell."""
    header, rows = content
    lines = [[f"{cell}{pad}".replace("|", "\\|") for cell in row] for row in (header, *rows)]
    return "\n".join("|" + "|".join(line) + "|" for line in [lines[0], ["---"] * len(header), *lines[1:]])
