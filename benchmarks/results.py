"""What transfer is worth: every recipe on the same images, patients held out, several seeds; and with fewer labels.

    python benchmarks/results.py measure <project> --runs runs.csv [--seeds 5] [--jobs 1]
    python benchmarks/results.py table runs.csv

The project gives data/cohort.parquet and data/images (after 'dvc repro preprocess split'). Each seed deals its groups
of patients anew (60 % train, 15 % val, 25 % test) and seeds training. Every recipe has the same epochs and the same
tries:
each learning rate of RATES, of which val chooses; test then judges one model. Where labels are few, epochs are more, so
that steps are as many, up to MOST_EPOCHS. Recipes with a target learn from the labels of the other batches and are
judged on the target's test patients, as is 'full_without_target', which does not know the target.

Rows are added to the table of runs as they are made; what is there is not run again.
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# ruff: noqa: E402 - imports after the path
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
import stages  # noqa: F401 - first: how OpenMP's threads wait is settled before torch loads  # isort: skip
import numpy as np
import pandas as pd
import torch
from filelock import FileLock
from scipy import stats

from stages import inference, networks, params
from stages.artifacts.cohort import DEALT, Cohort, Subset
from stages.finetune import domains
from stages.finetune.feed import Examples
from stages.finetune.params import AdaBN, Recipe, Target
from stages.finetune.strategies import Problem, run
from stages.learning import devices, scores
from stages.loading import Images
from stages.networks import probabilities

STARTER = ROOT / "stages" / "weights" / "starter.safetensors"
EPOCHS, MOST_EPOCHS = 10, 60
RATES = (0.0005, 0.002, 0.008)
FRACTIONS = (0.05, 0.1, 0.25, 0.5, 1.0)
FOLDS, TEST, VAL = 20, 5, 3  # of patients; the rest is train
OF_FEW = ("linear_probe", "full", "scratch")
BASE = "scratch"
RECIPES: dict[str, dict[str, Any]] = {
    "scratch": {},
    "linear_probe": {},
    "head": {},
    "last_4": {"strategy": "last", "blocks": 4},
    "first_4": {"strategy": "first", "blocks": 4},
    "norm": {},
    "full": {},
    "full_self_supervised": {"strategy": "full"},
    "linear_probe_then_full": {},
    "gradual_last": {"strategy": "gradual", "start": "last", "epochs_per_block": 0.3},
    "gradual_first": {"strategy": "gradual", "start": "first", "epochs_per_block": 0.3},
    "layer_decay": {"decay": 0.8},
    "l2_sp": {"alpha": 0.01},
    "l1_sp": {"alpha": 0.0001},
    "auto_rgn": {},
    "truncated_9": {"strategy": "truncated", "blocks": 9},
}
TOWARDS: dict[str, dict[str, Any]] = {
    "full_without_target": {"strategy": "full"},
    "adabn": {},
    "coral": {"alpha": 100.0},
    "dann": {},
}
SELF_SUPERVISED = {"method": "simclr", "weights": "starter", "epochs": 20, "optimizer": "adamw", "lr": 0.001}
KEYS = ["recipe", "seed", "fraction"]


@dataclass(frozen=True)
class Job:
    """One row of the table of runs."""

    recipe: str
    seed: int
    fraction: float
    project: Path
    runs: Path
    target: str


def jobs(project: Path, runs: Path, seeds: int, target: str, only: list[str]) -> list[Job]:
    """All of them, seed by seed, without those that are there."""
    done = set()
    if runs.exists():
        done = set(pd.read_csv(runs)[KEYS].itertuples(index=False, name=None))
    wanted = [(name, 1.0) for name in [*RECIPES, *TOWARDS]]
    wanted += [(name, fraction) for name in OF_FEW for fraction in FRACTIONS[:-1]]
    return [
        Job(name, seed, fraction, project, runs, target)
        for seed in range(seeds)
        for name, fraction in wanted
        if (name, seed, fraction) not in done and (not only or name in only)
    ]


def dealt(cohort: Cohort, seed: int, fraction: float) -> Cohort:
    """The cohort with its groups of patients on other sides, and a part of those in train."""
    from sklearn.model_selection import StratifiedGroupKFold  # noqa: PLC0415 - 2 s

    kinds, groups = cohort.labels().argmax(axis=1), cohort.frame["group"].to_numpy()
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    side = np.empty(len(kinds), dtype=object)
    for place, (_, held) in enumerate(folds.split(kinds, kinds, groups)):
        side[held] = str(Subset.TEST if place < TEST else Subset.VAL if place < TEST + VAL else Subset.TRAIN)
    patients = np.unique(groups[side == str(Subset.TRAIN)])
    kept = np.random.default_rng(seed).permutation(patients)[: round(fraction * len(patients))]
    chosen = (side != str(Subset.TRAIN)) | np.isin(groups, kept)
    return Cohort(cohort.frame.assign(subset=side)[chosen].reset_index(drop=True), cohort.task, cohort.classes)


def measure(job: Job) -> str:
    """Train with every rate, judge the best by val on test, and add a row."""
    os.chdir(job.project)
    device = inference.device("auto")
    cohort = dealt(Cohort.read(), job.seed, job.fraction)
    strategy = {"strategy": job.recipe, **RECIPES.get(job.recipe, TOWARDS.get(job.recipe, {}))}
    if strategy["strategy"] in TOWARDS:
        strategy["target"] = {"column": "batch", "value": job.target}
    probing = strategy["strategy"] == "linear_probe"
    best: dict[str, Any] = {}
    tried = 0.0
    for lr in RATES[:1] if probing else RATES:
        epochs = min(round(EPOCHS / job.fraction), MOST_EPOCHS)
        way = {"epochs": epochs, "optimizer": "adamw", "lr": lr, "precision": "fp32", "patience": epochs}
        given = {"weights": "w", **strategy, **({} if probing else way)}
        recipe: Any = params.validate(given, Recipe, job.recipe)  # type: ignore[arg-type]  # a union is no class
        began = time.perf_counter()
        found = _trained(job, recipe, cohort, device)
        tried += time.perf_counter() - began
        if not best or found["val_auroc"] > best["val_auroc"]:
            best = {"lr": lr, **found}
    row = {name: getattr(job, name) for name in KEYS} | {**best, "seconds_of_all_rates": round(tried, 2)}
    classifier, test = row.pop("classifier"), row.pop("test")
    logits = torch.from_numpy(inference.logits(classifier, Images(test.frame), device))
    row["test_auroc"] = scores.auroc(test.labels(), probabilities(logits, cohort.task).numpy(), cohort.task)
    row["test_patients"] = test.frame["group"].nunique()
    with FileLock(f"{job.runs}.lock"):
        pd.DataFrame([row]).to_csv(job.runs, mode="a", header=not job.runs.exists(), index=False)
    return f"{job.recipe} seed {job.seed} fraction {job.fraction}: {row['test_auroc']:.3f} in {row['seconds']} s"


def _trained(job: Job, recipe: Recipe, cohort: Cohort, device: torch.device) -> dict[str, Any]:
    train, val, test = (cohort.subset(side) for side in DEALT)
    target = None
    if job.recipe in TOWARDS:
        # which rows are the target's, where a recipe does not name it itself
        away = AdaBN(strategy="adabn", weights="w", epochs=1, lr=1.0, target=Target(column="batch", value=job.target))
        train, val = (domains.source(away, side) for side in (train, val))
        test = Cohort(test.frame[test.frame["batch"] == job.target], test.task, test.classes)
        if hasattr(recipe, "target"):
            target = domains.target(recipe, cohort, cohort.frame[:0])
    size = Images(train.frame).image_size
    torch.manual_seed(job.seed)
    if job.recipe == "scratch":
        backbone, features = networks.build_backbone("mobilenet_v3_small", size)
    else:
        backbone, features, _ = networks.load_backbone(STARTER, size)
    began = time.perf_counter()
    if job.recipe == "full_self_supervised":
        _without_labels(backbone, features, Images(train.frame), job.seed, device)
    given, judged = (Examples(Images(side.frame), side.labels()) for side in (train, val))
    problem = Problem(
        cohort.task, cohort.classes, given, judged, backbone, features, "mobilenet_v3_small", size, target
    )
    curve: list[list[float]] = []
    told = lambda epoch: curve.append([round(time.perf_counter() - began, 3), round(epoch["val_auroc"], 4)])  # noqa: E731
    result = run(recipe, problem, job.seed, device, told)
    took = time.perf_counter() - began
    return {
        "val_auroc": result.training["val_auroc"],
        "seconds": round(took, 2),
        "epochs": result.training["epochs"],
        "best_epoch": result.training["best_epoch"],
        "trainable": result.training["trainable_parameters"],
        "parameters": result.training["parameters"],
        "train_images": len(train.frame),
        "curve": json.dumps(curve or [[round(took, 3), result.training["val_auroc"]]]),
        "device": device.type,
        "classifier": result.classifier,
        "test": test,
    }


def _without_labels(backbone: Any, features: int, images: Images, seed: int, device: torch.device) -> None:
    from stages.pretrain.params import SimCLR  # noqa: PLC0415 - lightly is needed for one recipe
    from stages.pretrain.training import fit  # noqa: PLC0415

    settings = params.validate({**SELF_SUPERVISED, "precision": "fp32"}, SimCLR, "self_supervised")
    fabric = devices.fabric(device, "fp32")
    fit(backbone, features, images, settings, seed=seed, fabric=fabric, probe=lambda: 0.5)


def table(runs: pd.DataFrame) -> str:
    """docs/results.md's tables."""
    whole = runs[runs["fraction"] == 1]
    scratch = whole[whole["recipe"] == BASE].set_index("seed")
    level = scratch["val_auroc"].mean()
    lines = [
        f"| recipe | test AUROC | minus {BASE} | seconds | seconds to val AUROC {level:.3f} | trainable | chosen lr |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    order = whole[whole["recipe"].isin(RECIPES)].groupby("recipe")["test_auroc"].mean().sort_values(ascending=False)
    for name in order.index:
        rows = whole[whole["recipe"] == name].set_index("seed")
        reached = [_first(curve, level) for curve in rows["curve"]]
        times = [seconds for seconds in reached if seconds is not None]
        arrived = (
            f"{np.median(times):.1f} ({len(times)} of {len(reached)})" if times else f"never (0 of {len(reached)})"
        )
        gain = "" if name == BASE else _interval(rows["test_auroc"] - scratch["test_auroc"], sign=True)
        rates = ", ".join(f"{rate:g}" for rate in sorted(rows["lr"].unique()))
        seconds = f"{rows['seconds'].mean():.1f}"
        rates = "" if name == "linear_probe" else rates
        row = [name, _interval(rows["test_auroc"]), gain, seconds, arrived, f"{rows['trainable'].iloc[0]:,}", rates]
        lines.append(f"| {' | '.join(row)} |")
    lines += ["", "| recipe | test AUROC on the target | minus full_without_target |", "| --- | --- | --- |"]
    plain = whole[whole["recipe"] == "full_without_target"].set_index("seed")["test_auroc"]
    for name in TOWARDS:
        rows = whole[whole["recipe"] == name].set_index("seed")["test_auroc"]
        gain = "" if rows.equals(plain) else _interval(rows - plain, sign=True)
        lines.append(f"| {name} | {_interval(rows)} | {gain} |")
    lines += [
        "",
        "| part of train's patients | images | " + " | ".join(OF_FEW) + f" | full minus {BASE} |",
        "| --- " * (len(OF_FEW) + 3) + "|",
    ]
    for fraction in FRACTIONS:
        rows = runs[runs["fraction"] == fraction]
        by = {name: rows[rows["recipe"] == name].set_index("seed")["test_auroc"] for name in OF_FEW}
        images = rows[rows["recipe"] == "full"]["train_images"].mean()
        cells = " | ".join(_interval(by[name]) for name in OF_FEW)
        lines.append(f"| {fraction:.0%} | {images:.0f} | {cells} | {_interval(by['full'] - by[BASE], sign=True)} |")
    return "\n".join(lines)


def _first(curve: str, level: float) -> float | None:
    return next((seconds for seconds, auroc in json.loads(curve) if auroc >= level), None)


def _interval(values: "pd.Series[float]", *, sign: bool = False) -> str:
    """Mean over seeds, and the 95 % interval of that mean by Student's t."""
    values = values.dropna()
    half = stats.t.ppf(0.975, len(values) - 1) * values.std() / len(values) ** 0.5 if len(values) > 1 else float("nan")
    form = "{:+.3f}" if sign else "{:.3f}"
    return f"{form.format(values.mean())} ({form.format(values.mean() - half)} to {form.format(values.mean() + half)})"


def main() -> None:
    """Measure, or make tables of what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("measure")
    one.add_argument("project", type=Path)
    one.add_argument("--runs", type=Path, required=True)
    one.add_argument("--seeds", type=int, default=5)
    one.add_argument("--jobs", type=int, default=1)
    one.add_argument("--target", default="nih-b", help="the batch that plays the other site")
    one.add_argument("--only", nargs="*", default=[])
    commands.add_parser("table").add_argument("runs", type=Path)
    given = parser.parse_args()
    if given.command == "table":
        print(table(pd.read_csv(given.runs)))
        return
    todo = jobs(given.project.resolve(), given.runs.resolve(), given.seeds, given.target, given.only)
    with multiprocessing.get_context("spawn").Pool(given.jobs) as pool:
        for count, said in enumerate(pool.imap_unordered(measure, todo), start=1):
            print(f"{count} of {len(todo)}: {said}", flush=True)


if __name__ == "__main__":
    main()
