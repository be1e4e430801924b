"""``data/features/<batch>.npy``: (N, D) float32, what the frozen backbone makes of each image, in row order."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from stages.runtime import UserError, atomic_file

Features = npt.NDArray[np.float32]


def path(batch: str) -> Path:
    """Where a batch's features lie."""
    return Path("data/features") / f"{batch}.npy"


def write(batch: str, features: Features) -> None:
    """Write a batch's features."""
    with atomic_file(path(batch)) as beside:
        np.save(beside, features, allow_pickle=False)


def read(batch: str) -> Features:
    """Read a batch's features, mapped. Raises :class:`UserError` if they are missing."""
    try:
        features: Features = np.load(path(batch), mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{path(batch)} is not here: run 'dvc repro', or 'dvc pull' to fetch it") from None
    return features


def of(cohort_frame: pd.DataFrame) -> Features:
    """(n, D) features of a cohort's rows (columns ``batch`` and ``row``), in their order."""
    names = cohort_frame["batch"].unique()
    everything = {name: read(name) for name in names}
    gathered = np.empty((len(cohort_frame), everything[names[0]].shape[1]), dtype=np.float32)
    for name in names:
        here = (cohort_frame["batch"] == name).to_numpy()
        gathered[here] = everything[name][cohort_frame.loc[here, "row"]]
    return gathered
