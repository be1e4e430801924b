"""Stored values to grey levels: modality LUT, VOI LUT or window, polarity (PS3.3 sections C.11.1, C.11.2, C.11.6).

Stored values have at most 16 bits, as good as always: so the chain is computed for every possible value, once, and the
image is one look-up in that table. A test compares it with pydicom's functions on the whole image in float64.
"""

from enum import StrEnum
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_color_lut

from stages.reasons import Reason, Refused

Grey = npt.NDArray[np.uint8]
Values = npt.NDArray[np.floating]

_TABLE_BYTES = 2  # stored values of up to 16 bits have a table
_PERCENTILES = (1.0, 99.0)
_PER_FRAME = ("PixelValueTransformationSequence", "FrameVOILUTSequence")  # functional groups, PS3.3 section C.7.6.16


class Source(StrEnum):
    """What set the grey levels."""

    LUT = "lut"
    WINDOW = "window"
    PERCENTILE = "percentile"  # the file has no (usable) window
    COLOUR = "colour"  # the luma of a colour image, which has no window


class Window(NamedTuple):
    """PS3.3 section C.11.2.1.2, in output units of the modality LUT."""

    centre: float
    width: float
    function: str = "LINEAR"


def of_frame(dataset: Dataset, index: int) -> Dataset:
    """The attributes of frame ``index``: those of an enhanced multi-frame file stand in its functional groups."""
    groups = [
        group
        for keyword, at in (("SharedFunctionalGroupsSequence", 0), ("PerFrameFunctionalGroupsSequence", index))
        for group in (dataset.get(keyword) or [])[at : at + 1]
    ]
    items = [item for group in groups for keyword in _PER_FRAME for item in (group.get(keyword) or [])[:1]]
    if not items:
        return dataset
    merged = Dataset()
    merged.update(dataset.group_dataset(0x0028))
    if "PresentationLUTShape" in dataset:
        merged.PresentationLUTShape = dataset.PresentationLUTShape
    for item in items:
        merged.update(item)
    return merged


def render(stored: npt.NDArray[np.integer], photometric: str, attributes: Dataset) -> tuple[Grey, Source]:
    """Grey levels from 0 (black) to 255, (H, W), and what set them.

    Raises
    ------
    Refused
        With ``UNSUPPORTED``, if the photometric interpretation is none of the usual ones.
    """
    if photometric in {"MONOCHROME1", "MONOCHROME2"}:
        return _monochrome(stored, photometric, attributes)
    if photometric == "PALETTE COLOR":
        stored, photometric = apply_color_lut(stored, attributes), "RGB"
        bits = stored.dtype.itemsize * 8
    else:
        bits = int(attributes.BitsStored)
    if photometric != "RGB" or stored.ndim != 3 or stored.dtype.itemsize > _TABLE_BYTES:  # noqa: PLR2004 - H, W, RGB
        raise Refused(Reason.UNSUPPORTED, "photometric interpretation")
    luma = cv2.cvtColor(np.ascontiguousarray(stored), cv2.COLOR_RGB2GRAY)  # ITU-R BT.601
    if bits != 8:  # noqa: PLR2004
        luma = np.rint(luma * (255.0 / (2**bits - 1))).clip(0, 255)
    return luma.astype(np.uint8, copy=False), Source.COLOUR


def _monochrome(stored: npt.NDArray[np.integer], photometric: str, attributes: Dataset) -> tuple[Grey, Source]:
    if stored.ndim != 2:  # noqa: PLR2004
        raise Refused(Reason.UNSUPPORTED, "several samples in a monochrome image")
    domain, position = _table(stored)
    values = modality(domain, attributes)
    lut, window = _lut(attributes, "VOILUTSequence"), stated_window(attributes)
    if lut:
        source, unit = Source.LUT, _unit(lut, look_up(values, lut))
    elif window:
        source, unit = Source.WINDOW, apply_window(values, window)
    else:
        source, unit = (
            Source.PERCENTILE,
            apply_window(values, percentile_window(values, _counts(position, domain.size))),
        )
    # INVERSE says of a MONOCHROME1 image what MONOCHROME1 says (PS3.3 section C.8.11.3.1.2): one inversion, not two
    if photometric == "MONOCHROME1" or attributes.get("PresentationLUTShape") == "INVERSE":
        unit = 1 - unit
    table = np.rint(unit * 255).astype(np.uint8)
    grey = table[position] if position.dtype.itemsize > _TABLE_BYTES else cv2.LUT(position, table.reshape(1, -1))
    return np.asarray(grey), source


def _table(stored: npt.NDArray[np.integer]) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]]:
    """Every value that can be stored (or is, beyond 16 bits), and where in that list each pixel's is."""
    if stored.dtype.itemsize > _TABLE_BYTES:
        domain, position = np.unique(stored, return_inverse=True)
        return domain, position.reshape(stored.shape)
    bits = 8 * stored.dtype.itemsize
    unsigned = np.dtype(f"=u{stored.dtype.itemsize}")
    native = np.ascontiguousarray(stored, dtype=stored.dtype.newbyteorder("="))
    return np.arange(2**bits, dtype=unsigned).view(native.dtype), native.view(unsigned)


def _counts(position: npt.NDArray[np.integer], size: int) -> npt.NDArray[np.integer]:
    """How often each of 0 to ``size - 1`` occurs. OpenCV counts in integers, ten times faster than numpy does."""
    if position.dtype.itemsize > _TABLE_BYTES:
        return np.bincount(position.ravel(), minlength=size)
    return np.asarray(cv2.calcHist([position], [0], None, [size], [0, size])).ravel().astype(np.int64)


def modality(stored: npt.NDArray[np.integer], attributes: Dataset) -> Values:
    """Modality LUT, or rescale slope and intercept (PS3.3 section C.11.1)."""
    if lut := _lut(attributes, "ModalityLUTSequence"):
        return look_up(stored.astype(np.float64), lut)
    slope, intercept = _number(attributes, "RescaleSlope"), _number(attributes, "RescaleIntercept")
    values: Values = stored * (1.0 if slope is None else slope) + (0.0 if intercept is None else intercept)
    return values


def _lut(attributes: Dataset, keyword: str) -> Dataset | None:
    """The first item of a LUT sequence; None where there is none, or where it holds no table."""
    items: list[Dataset] = (attributes.get(keyword) or [])[:1]
    return next((item for item in items if item.get("LUTDescriptor") and item.get("LUTData") is not None), None)


def look_up(values: Values, lut: Dataset) -> Values:
    """A LUT sequence's item (PS3.3 section C.11.1.1.1): values outside of it take its first or last entry."""
    entries, first, _ = _descriptor(lut)
    data: npt.NDArray[np.integer]
    element = lut["LUTData"]
    if isinstance(element.value, bytes):  # OW; 8-bit entries may be packed two to a word
        order = "<" if lut.original_encoding[1] in (True, None) else ">"
        width = 1 if len(element.value) < 2 * entries else 2
        data = np.frombuffer(element.value, f"{order}u{width}")[:entries]
    else:
        data = np.atleast_1d(np.asarray(element.value))[:entries]
    if data.size == 0:
        raise Refused(Reason.UNSUPPORTED, "empty look-up table")
    position = (values - first).clip(0, data.size - 1).astype(np.intp)
    return data[position].astype(np.float64)


def _unit(lut: Dataset, looked_up: Values) -> Values:
    """A VOI LUT's output, 0 to 1."""
    _, _, bits = _descriptor(lut)
    return (looked_up / ((1 << bits) - 1)).clip(0, 1)


def _descriptor(lut: Dataset) -> tuple[int, int, int]:
    entries, first, bits = (int(part) for part in lut.LUTDescriptor)
    if not 8 <= bits <= 16:  # noqa: PLR2004 - PS3.3 section C.11.1.1
        raise Refused(Reason.UNSUPPORTED, "look-up table")
    return entries or 2**16, first, bits


def stated_window(attributes: Dataset) -> Window | None:
    """The first window; None if there is none, or none that the standard allows."""
    centre, width = _number(attributes, "WindowCenter"), _number(attributes, "WindowWidth")
    function = str(attributes.get("VOILUTFunction") or "LINEAR").strip().upper()
    if centre is None or width is None or function not in {"LINEAR", "LINEAR_EXACT", "SIGMOID"}:
        return None
    usable = width >= 1 if function == "LINEAR" else width > 0
    return Window(centre, width, function) if usable else None


def percentile_window(values: Values, counts: npt.NDArray[np.integer]) -> Window:
    """From the 1st to the 99th percentile of the image that has ``values`` so many times (``counts``)."""
    present = np.flatnonzero(counts)
    order = present[np.argsort(values[present], kind="stable")]
    cumulative = counts[order].cumsum()
    low, high = (values[order[np.searchsorted(cumulative, cumulative[-1] * p / 100)]] for p in _PERCENTILES)
    if low == high:  # nearly every pixel is the same: what little differs is the image
        low, high = values[order[0]], values[order[-1]]
    return Window((low + high) / 2, max(high - low, np.finfo(np.float32).tiny), "LINEAR_EXACT")


def apply_window(values: Values, window: Window) -> Values:
    """0 to 1 (PS3.3 section C.11.2.1.2 and C.11.2.1.3)."""
    centre, width, function = window
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp((-4 * (values - centre) / width).clip(-700, 700))))
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    if width == 0:
        return (values > centre).astype(np.float64)
    return ((values - centre) / width + 0.5).clip(0, 1)


def _number(attributes: Dataset, keyword: str) -> float | None:
    value = attributes.get(keyword)
    if isinstance(value, MultiValue):
        value = value[0] if len(value) else None
    if value is None or value == "":
        return None
    number = float(value)
    return number if np.isfinite(number) else None
