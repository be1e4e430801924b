"""Images without a label that may be trained on without one."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from stages import labels
from stages.artifacts import unlabelled
from stages.artifacts.cohort import Cohort, Subset
from stages.split import deal
from stages.split.cohort import with_days


def rest(
    images: pd.DataFrame, values: npt.NDArray[np.float32], cohort: Cohort, held_out: npt.NDArray[np.bool_]
) -> pd.DataFrame:
    """The rows of ``images`` without a label, each image once, none of them of anybody on val, test or external.

    Who is out is decided as the split decides it: patients who share a study or an image that looks the same are one,
    through others too. A patient on val, test or external is out whole, and so is whoever is tied to one. So are the
    images that ``held_out`` (N,) names: what ``split.external`` holds out is not trained on without labels either.

    Parameters
    ----------
    images, values
        As of :func:`stages.split.cohort.build`, which made ``cohort`` of them.
    """
    held = cohort.frame.loc[cohort.frame["subset"] != Subset.TRAIN, "image"]
    groups = deal.groups(images)
    out = np.isin(groups, groups[images["image"].isin(held)])
    free = ~labels.labelled(values) & ~out & ~held_out & ~images["image"].duplicated().to_numpy()
    found: pd.DataFrame = with_days(images).loc[free, unlabelled.SCHEMA.names]
    return found.reset_index(drop=True)
