"""Pad to a square, resize, and how much of an image is border."""

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

Grey = npt.NDArray[np.uint8]

_UNIFORM = 2  # grey levels by which a border's row may vary: the noise of a lossy codec
_OBLONG = 8.0  # a pixel is not: such a header is wrong
_ROUNDING = 1e-3  # spacings are decimal numbers of few digits
_TALL = (
    4  # rows in one: from there on sums of rows are faster than OpenCV's general filter, three times at 5 megapixels
)


def square(image: Grey, size: int, aspect: float = 1.0) -> Grey:
    """(H, W) to (size, size), with black bars beside the short side.

    Each pixel is the mean over the area it covers; where the image is smaller than ``size``, linear interpolation. One
    filter everywhere, in training and in use: others differ.

    Parameters
    ----------
    aspect
        Height of a pixel over its width: a circle stays a circle.
    """
    height, width = image.shape
    side = max(height * aspect, width)  # in widths of a pixel
    rows, columns = round(side / aspect), round(side)
    top, left = (rows - height) // 2, (columns - width) // 2
    source: npt.NDArray[Any] = image
    if rows >= _TALL * size:
        source, rows, top = _means_of_rows(image, size, rows / size, top), size, 0
    padded = cv2.copyMakeBorder(
        source, top, rows - len(source) - top, left, columns - width - left, cv2.BORDER_CONSTANT, value=0
    )
    if len(padded) > size > columns or columns > size > len(padded):  # OpenCV averages where both sides shrink only
        padded = cv2.resize(padded, (min(columns, size), min(len(padded), size)), interpolation=cv2.INTER_AREA)
    filter_ = cv2.INTER_AREA if max(padded.shape) > size else cv2.INTER_LINEAR
    resized = padded if padded.shape == (size, size) else cv2.resize(padded, (size, size), interpolation=filter_)
    return np.asarray(resized if resized.dtype == np.uint8 else np.rint(resized).astype(np.uint8))


def _means_of_rows(image: Grey, count: int, step: float, top: int) -> npt.NDArray[np.float32]:
    """(count, W) means over ``step`` rows each, of an image below ``top`` black rows: OpenCV's area filter, exactly."""
    means = np.zeros((count, image.shape[1]), np.float32)
    for number in range(count):
        start, end = max(number * step - top, 0.0), min((number + 1) * step - top, len(image))
        first, last = math.ceil(start), math.floor(end)
        if last > first:
            means[number] = cv2.reduce(image[first:last], 0, cv2.REDUCE_SUM, dtype=cv2.CV_32F)[0]
        if start < first <= last:
            means[number] += image[first - 1] * np.float32(first - start)
        if first <= last < end:
            means[number] += image[last] * np.float32(end - last)
    return means / np.float32(step)


def aspect(attributes: Dataset) -> float:
    """Height of a pixel over its width (PS3.3 section C.7.6.3.1.7); 1 where nothing usable is stated.

    Pixel Spacing, or Imager Pixel Spacing of a projection, says it; Pixel Aspect Ratio stands where neither does.
    """
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio"):
        value = attributes.get(keyword)
        if isinstance(value, MultiValue) and len(value) == 2 and all(float(part) > 0 for part in value):  # noqa: PLR2004 - height, width
            ratio = float(value[0]) / float(value[1])
            return ratio if 1 / _OBLONG < ratio < _OBLONG and abs(ratio - 1) > _ROUNDING else 1.0
    return 1.0


def border(image: Grey) -> float:
    """Fraction of the image, 0 to 1, in the rows and columns at its edges that are uniform."""
    height = _extent(image)
    width = _extent(image.T) if height else 0
    return 1 - height * width / image.size


def _extent(image: Grey) -> int:
    """From the first row that is not uniform to the last: looked for from outside, where it is soon found."""
    rows = range(len(image))
    first = next((row for row in rows if _varied(image[row])), None)
    if first is None:
        return 0
    return next(row for row in reversed(rows) if _varied(image[row])) - first + 1


def _varied(line: Grey) -> bool:
    return int(line.max()) - int(line.min()) > _UNIFORM
