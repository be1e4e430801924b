"""Whether maps tell of what was learnt: they must change when the weights are replaced by random ones.

The model parameter randomisation test of Adebayo et al., "Sanity Checks for Saliency Maps" (NeurIPS 2018): maps that
stay alike show the image's edges, or the architecture, not the model. Likeness is Spearman's correlation of the places'
ranks, and structural similarity (Wang et al. 2004), as there.
"""

from collections.abc import Sequence
from typing import TypedDict

import cv2
import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from stages.evaluate.gradcam import Maps

MOST_ALIKE = 0.5
"""A mean Spearman correlation with the maps of random networks above which maps are said not to change."""

_WINDOW, _SIGMA = 11, 1.5  # of Wang et al.'s Gaussian
_C1, _C2 = 0.01**2, 0.03**2  # theirs, for values from 0 to 1
_FLAT = 1e-6


class Sanity(TypedDict):
    """What the check found."""

    spearman: float | None  # mean over images and random networks; None where no map can be ranked
    ssim: float | None
    images: int  # compared: both maps have something in them
    networks: int  # random ones
    changes: bool | None  # whether maps change as they must


def compare(trained: Maps, randomised: Sequence[Maps]) -> Sanity:
    """(N, S, S) maps from 0 to 1 against those of the same images and classes by networks of random weights.

    A map that is the same everywhere has no ranks: an image counts where the trained network's map and at least one
    random network's have some.
    """
    ranks, likeness, counted = [], [], set()
    for maps in randomised:
        for n, (ours, theirs) in enumerate(zip(trained, maps, strict=True)):
            if np.ptp(ours) > _FLAT and np.ptp(theirs) > _FLAT:
                counted.add(n)
                ranks.append(float(spearmanr(ours, theirs, axis=None).statistic))
                likeness.append(ssim(ours, theirs))
    if not ranks:
        return Sanity(spearman=None, ssim=None, images=0, networks=len(randomised), changes=None)
    alike = round(float(np.mean(ranks)), 3)
    return Sanity(
        spearman=alike,
        ssim=round(float(np.mean(likeness)), 3),
        images=len(counted),
        networks=len(randomised),
        changes=alike <= MOST_ALIKE,
    )


def ssim(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> float:
    """Mean structural similarity of two (H, W) arrays of values from 0 to 1 (Wang et al., IEEE TIP 13(4), 2004)."""

    def smooth(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(cv2.GaussianBlur(values, (_WINDOW, _WINDOW), _SIGMA), dtype=np.float64)

    a, b = first.astype(np.float64), second.astype(np.float64)
    mean_a, mean_b = smooth(a), smooth(b)
    var_a, var_b = smooth(a * a) - mean_a**2, smooth(b * b) - mean_b**2
    covariance = smooth(a * b) - mean_a * mean_b
    above = (2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)
    below = (mean_a**2 + mean_b**2 + _C1) * (var_a + var_b + _C2)
    return float((above / below).mean())


def sentence(found: Sanity) -> str:
    """What the check says, for people."""
    if found["spearman"] is None:
        return "Whether the maps depend on what was learnt could not be checked: no map had anything in it to compare."
    said = (
        f"Sanity check (Adebayo et al. 2018) on {found['images']} images: maps of {found['networks']} networks of "
        f"random weights correlate with these by {found['spearman']:.2f} (Spearman; SSIM {found['ssim']:.2f})"
    )
    if found["changes"]:
        return f"{said}: the maps change with the weights, as they must."
    return (
        f"{said}, more than {MOST_ALIKE}: THE MAPS HARDLY CHANGE WITH THE WEIGHTS. They show the image or the "
        "architecture, not what was learnt: do not read them as evidence."
    )
