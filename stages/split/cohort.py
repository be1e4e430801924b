"""Labelled images with their sides: the cohort, and what was left out of it."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from stages import labels
from stages.artifacts.cohort import COLUMNS, DEALT, Cohort, Exclusion, Subset
from stages.runtime import UserError
from stages.split import deal, external
from stages.split.params import SplitParams


def build(images: pd.DataFrame, values: npt.NDArray[np.float32], section: SplitParams) -> tuple[Cohort, pd.DataFrame]:
    """The cohort, and the images left out (``image, batch, reason``).

    Parameters
    ----------
    images
        (N) rows of all batches, in the order of ``batches``, with the columns of images' tables.
    values
        (N, K) labels, rows of NaN where unlabelled.

    Raises
    ------
    UserError
        If nothing is labelled, a class is missing from a side that patients are dealt to, or ``section.external`` names
        images of which none is left.
    """
    known = labels.labelled(values)
    images = with_days(images)
    if not known.any():
        raise UserError("no image has a label: check split.labels and split.key in params.yaml")
    again = images["image"].duplicated().to_numpy() & known  # deliveries overlap: the earlier one counts
    candidates, values = images[known & ~again].reset_index(drop=True), values[known & ~again]
    sides = deal.deal(candidates, values, section.fractions.model_dump())
    sides = external.hold_out(candidates, sides, section.external.held_out(candidates))
    placed = sides.notna().to_numpy()
    frame = candidates[placed].reset_index(drop=True)
    frame = frame.assign(group=deal.groups(frame), subset=sides[placed].to_numpy(dtype=str))
    for column, name in enumerate(section.classes):
        frame[f"label:{name}"] = values[placed, column]
    names = [name for name, _ in COLUMNS] + [f"label:{name}" for name in section.classes]
    cohort = Cohort(frame[names], section.task, tuple(section.classes))
    _require_every_class(cohort)
    _require_external(cohort, section)
    left_out = [
        (images[~known], Exclusion.UNLABELLED),
        (images[again], Exclusion.DUPLICATE),
        (candidates[~placed], Exclusion.JOINS_SUBSETS),
    ]
    excluded = pd.concat([part[["image", "batch"]].assign(reason=reason.name) for part, reason in left_out])
    return cohort, excluded


def with_days(images: pd.DataFrame) -> pd.DataFrame:
    """``images`` with a column ``days``: since the patient's first study in any batch."""
    return images.assign(days=images["day"] - images.groupby("patient")["day"].transform("min"))


def summary(cohort: Cohort, excluded: pd.DataFrame) -> str:
    """One line for the log."""
    sides = "; ".join(
        f"{name} {side['images']} images of {side['patients']} patients" for name, side in cohort.counts().items()
    )
    reasons = ", ".join(f"{count} {reason}" for reason, count in excluded["reason"].value_counts().items())
    return f"{sides}; left out: {reasons or 'none'}"


def _require_every_class(cohort: Cohort) -> None:
    counts = cohort.counts()
    for side in DEALT:
        for name, images in counts[side]["classes"].items():
            if images == 0:
                raise UserError(
                    f"no patient with '{name}' came to {side}: it needs three patients at least: add images of it, "
                    "or take it out of split.classes"
                )


def _require_external(cohort: Cohort, section: SplitParams) -> None:
    if section.external.named and Subset.EXTERNAL not in cohort.sides:
        raise UserError(
            "split.external holds out no labelled image of a patient who is not on another side too: correct it, add "
            "labels, or take it out of params.yaml"
        )
