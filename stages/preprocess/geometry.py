"""Pad to a square, resize, and how much of an image is border."""

import cv2
import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.uint8]

_UNIFORM = 2  # grey levels by which a border's row may vary: the noise of a lossy codec


def square(image: Grey, size: int) -> Grey:
    """(H, W) to (size, size), with black bars beside the short side.

    Each pixel is the mean over the area it covers; where the image is smaller than ``size``, linear interpolation. One
    filter everywhere, in training and in use: others differ.
    """
    height, width = image.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    padded = cv2.copyMakeBorder(
        image, top, side - height - top, left, side - width - left, cv2.BORDER_CONSTANT, value=0
    )
    if side == size:
        return np.asarray(padded)
    filter_ = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(padded, (size, size), interpolation=filter_))


def border(image: Grey) -> float:
    """Fraction of the image, 0 to 1, in the rows and columns at its edges that are uniform."""
    rows = _varied(image, axis=1)
    columns = _varied(image, axis=0)
    if not rows.any() or not columns.any():
        return 1.0
    inner = np.ptp(np.flatnonzero(rows)) + 1, np.ptp(np.flatnonzero(columns)) + 1
    return float(1 - inner[0] * inner[1] / image.size)


def _varied(image: Grey, axis: int) -> npt.NDArray[np.bool_]:
    return np.asarray(image.max(axis) - image.min(axis) > _UNIFORM)
