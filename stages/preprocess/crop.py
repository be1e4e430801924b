"""Which part of an image is looked at: ultrasound's regions, always; a radiograph without its collimation, if asked."""

import cv2
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from stages import regions
from stages.preprocess.codecs import Frame
from stages.reasons import Reason, Refused
from stages.regions import Region

Grey = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.uint8]

RADIOGRAPHS = frozenset(["CR", "DX", "RF", "XA"])
"""(0008,0060) of images that a collimator bounds. Of a mammogram the bare air is trimmed by other means, or not."""

_WORK = 256  # pixels on the longer side of what is looked at: text and noise are averaged away
_PERCENTILES = (5, 95)  # of a line: a marker's letters are fewer
_FLAT = 12.0  # grey levels between them, within a collimator's shadow
_MOST = 0.4  # of each side: more is no collimation, or no image is left


def to_regions(frame: Frame, header: Dataset) -> tuple[Frame, Mask | None]:
    """An ultrasound frame cut to the rectangle around its regions, and where in it they are; others as they are.

    All regions count, a Doppler curve's as well as tissue's. They are in pixels of Rows by Columns, and are scaled to a
    frame that was decoded smaller.

    Raises
    ------
    Refused
        With ``BURNED_IN``, if the header says that text is in the pixels, and there is nothing to cut it off by.
    """
    found = regions.usable(header)
    if not found:
        if str(header.get("BurnedInAnnotation") or "").strip(" \0").upper() == "YES":
            raise Refused(Reason.BURNED_IN, "no region to crop to")
        return frame, None
    height, width = frame.stored.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    for region in found:
        rows = _scaled(region.top, region.bottom, height / header.Rows)
        columns = _scaled(region.left, region.right, width / header.Columns)
        mask[rows, columns] = 1
    left, top, width, height = cv2.boundingRect(mask)
    inside = slice(top, top + height), slice(left, left + width)
    return frame._replace(stored=frame.stored[inside]), mask[inside]


def _scaled(start: int, end: int, scale: float) -> slice:
    first = int(start * scale)
    return slice(first, max(int(end * scale), first + 1))


def collimation(image: Grey) -> Region:
    """A radiograph without the rows and columns at its edges that are in the shadow of a collimator.

    Looked for in a small copy, from outside inwards: a line belongs to the border while its 5th and 95th percentile are
    within 12 grey levels, so that a marker on it does not count. At most 40 % are cut from a side. Rows are cut first,
    and columns are judged by what is left. The bare air around a limb is as flat as a shadow, and is cut off, too.
    """
    scale = min(1.0, _WORK / max(image.shape))
    rows, columns = (max(1, round(side * scale)) for side in image.shape)
    small: Grey = np.asarray(cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
    top, bottom = _inner(small)
    left, right = _inner(small[top:bottom].T)
    height, width = image.shape[0] / small.shape[0], image.shape[1] / small.shape[1]
    return Region(round(top * height), round(bottom * height), round(left * width), round(right * width))


def _inner(small: Grey) -> tuple[int, int]:
    low, high = np.percentile(small, _PERCENTILES, axis=1)
    flat = high - low <= _FLAT
    if flat.all():
        return 0, len(small)  # an image without content has no border
    most = int(_MOST * len(small))
    first, last = int(np.argmin(flat)), int(np.argmin(flat[::-1]))
    return min(first, most), len(small) - min(last, most)
