"""``python -m stages.shortcuts``: reports/shortcuts.json."""

import numpy as np
import pandas as pd

from stages import params, runtime
from stages.artifacts import features, images, shortcuts
from stages.artifacts.cohort import Cohort, Subset
from stages.shortcuts import checks, tables
from stages.shortcuts.params import ShortcutsParams

_CHUNK = 512  # images whose grey levels are read at once


def main() -> None:
    """Load train and test, check, save, and say what was found."""
    section, seed, cohort = params.read("shortcuts", ShortcutsParams), params.read("seed", int), Cohort.read()
    used = cohort.frame["subset"].isin([Subset.TRAIN, Subset.TEST])
    kept = Cohort(cohort.frame[used].reset_index(drop=True), cohort.task, cohort.classes)
    train = (kept.frame["subset"] == Subset.TRAIN).to_numpy()
    sides = checks.Sides(_rows(kept.frame), kept.labels(), train, cohort.task, cohort.classes)
    found_features = features.of(kept.frame)

    kinds = {"nuisance": tables.NUISANCE, "metadata": tables.METADATA, "demographics": tables.DEMOGRAPHICS}
    labels = {name: checks.labels(sides, name, columns, section.warn_above, seed) for name, columns in kinds.items()}
    origins = {name: checks.origin(sides, name, found_features, section.warn_above, seed) for name in checks.ORIGINS}
    told = {name: found for name, found in origins.items() if found}
    chance = checks.permuted(sides, found_features, section.permutations, seed)
    warnings = checks.warnings(labels, told)

    shortcuts.write({"labels": labels, "origins": told, "permuted": chance, "warnings": warnings})
    for warning in warnings:
        runtime.log.warning("%s", warning)


def _rows(frame: pd.DataFrame) -> pd.DataFrame:
    """What is known of the cohort's images, in their order."""
    parts = []
    for batch, here in frame.groupby("batch", sort=False):
        table = images.rows(str(batch)).iloc[here["row"]]
        parts.append(table.assign(contrast=_contrast(str(batch), here["row"].to_numpy())).set_index(here.index))
    rows = pd.concat(parts).loc[frame.index]
    return rows.assign(aspect=rows["columns"] / rows["rows"])


def _contrast(batch: str, rows: np.ndarray) -> np.ndarray:
    """(n,) the standard deviation of each image's grey levels."""
    pixels = images.pixels(batch)
    starts = range(0, len(rows), _CHUNK)
    return np.concatenate([pixels[rows[at : at + _CHUNK]].std(axis=(1, 2), dtype=np.float32) for at in starts])


if __name__ == "__main__":
    runtime.run("shortcuts", main)
