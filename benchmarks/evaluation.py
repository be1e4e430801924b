"""Judging 100,000 images of 14 labels with 2,000 resamples of patients, beside a loop over scikit-learn.

    python benchmarks/evaluation.py [images] [labels] [resamples]

Ours is all that ``evaluate`` computes from a table of predictions: every metric of every class, macro and micro, with
intervals, calibration, prediction sets, abstention, and 30 subgroups with their gaps. The loop takes AUROC and average
precision of each label, one resample after the other, and no more; a few resamples are timed and the rest reckoned.
Memory is the peak of the whole process, the table of predictions included.
"""

import argparse
import resource
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from stages.artifacts.cohort import Task  # noqa: E402
from stages.evaluate.params import EvaluateParams  # noqa: E402
from stages.judging import judge, subgroups  # noqa: E402

FEW = 3  # resamples of the loop that are timed
VAL = 0.1  # of the images
UNKNOWN = 0.1  # of the labels
COMMON = 0.1  # of a finding


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="?", type=int, default=100_000)
    parser.add_argument("labels", nargs="?", type=int, default=14)
    parser.add_argument("resamples", nargs="?", type=int, default=2000)
    given = parser.parse_args()
    classes = tuple(f"finding_{k}" for k in range(given.labels))
    table = predictions(given.images, classes)
    start, used = time.perf_counter(), time.process_time()
    section = EvaluateParams(resamples=given.resamples)
    found = judge.judge(table, Task.MULTILABEL, classes, section, seed=1, temperature=1.3)
    test = table[table["subset"] == "test"]
    images, patients = judge.judged(test, Task.MULTILABEL, classes), test["patient"].tolist()
    groups = subgroups.attributes(cohort(len(test)), section.age_bands)
    subgroups.judge(images, found["thresholds"], groups, patients, section.subgroup_patients)
    ours, used = time.perf_counter() - start, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    theirs = loop(test, classes) * given.resamples
    print(f"{given.images:,} test images, {given.labels} labels, {given.resamples:,} resamples of patients")
    print(f"judge                  {ours:8.1f} s ({used:.1f} s of CPU), peak memory {peak:.0f} MiB")
    print(f"scikit-learn in a loop {theirs:8.0f} s, reckoned from {FEW} resamples: {theirs / ours:.0f} times as long")
    print(f"macro AUROC {found['test']['auroc']}")


def predictions(images: int, classes: tuple[str, ...]) -> pd.DataFrame:
    """Two images of a patient, on average; findings and scores at random, the scores somewhat right."""
    random = np.random.default_rng(0)
    count = int(images * (1 + VAL))
    labels = (random.random((count, len(classes))) < COMMON).astype(np.float32)
    logits = random.normal(2 * labels - 3, 1.2).astype(np.float32)
    labels[random.random(labels.shape) < UNKNOWN] = np.nan
    side = np.where(np.arange(count) < images, "test", "val")
    patients = [f"{where}{number}" for where, number in zip(side, random.integers(0, images // 2, count), strict=True)]
    keys = {"image": [f"i{n}" for n in range(count)], "patient": patients, "batch": "a", "subset": side}
    parts = {"label": labels, "logit": logits, "score": 1 / (1 + np.exp(-logits))}
    columns = {f"{kind}:{name}": v[:, k] for kind, v in parts.items() for k, name in enumerate(classes)}
    return pd.DataFrame(keys | columns)


def cohort(images: int) -> pd.DataFrame:
    """Attributes of images, for subgroups: 30 groups."""
    random = np.random.default_rng(2)
    several = {"sex": 2, "site": 8, "manufacturer": 4, "modality": 2, "view": 3, "body_part": 2, "batch": 4}
    columns = {name: random.integers(0, count, images).astype(str) for name, count in several.items()}
    return pd.DataFrame(columns | {"age": random.uniform(5, 95, images)})


def loop(test: pd.DataFrame, classes: tuple[str, ...]) -> float:
    """Seconds a resample."""
    random = np.random.default_rng(1)
    rows = test.groupby("patient").indices
    names = list(rows)
    start = time.perf_counter()
    for _ in range(FEW):
        drawn = np.concatenate([rows[names[at]] for at in random.integers(0, len(names), len(names))])
        for name in classes:
            truth, score = test[f"label:{name}"].to_numpy()[drawn], test[f"score:{name}"].to_numpy()[drawn]
            known = ~np.isnan(truth)
            roc_auc_score(truth[known], score[known])
            average_precision_score(truth[known], score[known])
    return (time.perf_counter() - start) / FEW


if __name__ == "__main__":
    main()
