"""Stored values to grey levels: modality LUT, VOI LUT or window, polarity (PS3.3 sections C.11.1, C.11.2, C.11.6).

Stored values have at most 16 bits, as good as always: so the chain is computed for every possible value, once, and the
image is one look-up in that table. A test compares it with pydicom's functions on the whole image in float64.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from stages.preprocess import windows
from stages.preprocess.codecs import Frame, without_unused
from stages.reasons import Reason, Refused

Grey = npt.NDArray[np.uint8]
Values = npt.NDArray[np.floating]

_TABLE_BYTES = 2  # stored values of up to 16 bits have a table
# functional groups, PS3.3 section C.7.6.16
_PER_FRAME = ("PixelValueTransformationSequence", "FrameVOILUTSequence", "PixelMeasuresSequence")
_OF_FILE = ("Modality", "PresentationLUTShape", "PixelSpacing", "ImagerPixelSpacing")


LUT, WINDOW, PERCENTILE, COLOUR = "lut", "window", "percentile", "colour"
"""What set the grey levels: the file's VOI LUT or window; percentiles where it has none; of colour, the luma."""


@dataclass(frozen=True)
class Choice:
    """Of several ways to set grey levels.

    Attributes
    ----------
    ct_window
        A name of :data:`stages.preprocess.windows.CT` for images in Hounsfield units; ``file`` for the file's own.
    number
        Of the file's windows or VOI LUTs; the first where there are fewer.
    """

    ct_window: str = "file"
    number: int = 1


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
    for word in _OF_FILE:
        if word in dataset:
            merged.add(dataset[word])
    for item in items:
        merged.update(item)
    return merged


def render(
    frame: Frame,
    attributes: Dataset,
    choice: Choice = Choice(),
    inside: Grey | None = None,
) -> tuple[Grey, str]:
    """Grey levels from 0 (black) to 255, (H, W), and what set them: a name above, or that of a CT window.

    Pixels of the Pixel Padding Value (PS3.3 section C.7.5.1.1.2), and those that are 0 in ``inside`` (H, W), are black
    and do not count in percentiles.

    Raises
    ------
    Refused
        With ``UNSUPPORTED``, if the photometric interpretation is none of the usual ones.
    """
    stored, photometric = frame.stored, frame.photometric
    if photometric in {"MONOCHROME1", "MONOCHROME2"}:
        return _monochrome(frame, attributes, choice, inside)
    if photometric == "PALETTE COLOR":
        stored, photometric = apply_color_lut(frame.values, attributes), "RGB"
        bits = stored.dtype.itemsize * 8
    else:
        bits = int(attributes.BitsStored)
    if photometric != "RGB" or stored.ndim != 3 or stored.dtype.itemsize > _TABLE_BYTES:  # noqa: PLR2004 - H, W, RGB
        raise Refused(Reason.UNSUPPORTED, "photometric interpretation")
    luma = cv2.cvtColor(np.ascontiguousarray(stored), cv2.COLOR_RGB2GRAY)  # ITU-R BT.601
    if bits != 8:  # noqa: PLR2004
        luma = np.rint(luma * (255.0 / (2**bits - 1))).clip(0, 255)
    return _within(luma.astype(np.uint8, copy=False), inside), COLOUR


def _within(grey: Grey, inside: Grey | None) -> Grey:
    return grey if inside is None else grey * inside


def _monochrome(frame: Frame, attributes: Dataset, choice: Choice, inside: Grey | None) -> tuple[Grey, str]:
    if frame.stored.ndim != 2:  # noqa: PLR2004
        raise Refused(Reason.UNSUPPORTED, "several samples in a monochrome image")
    domain, position = _table(frame)
    values, padding = modality(domain, attributes), _padding(domain, attributes)
    source, unit = _in_view(values, padding, (position, inside), attributes, choice)
    # INVERSE says of a MONOCHROME1 image what MONOCHROME1 says (PS3.3 section C.8.11.3.1.2): one inversion, not two
    if frame.photometric == "MONOCHROME1" or attributes.get("PresentationLUTShape") == "INVERSE":
        unit = 1 - unit
    table = np.where(padding, 0, np.rint(unit * 255)).astype(np.uint8)
    grey = table[position] if position.dtype.itemsize > _TABLE_BYTES else cv2.LUT(position, table.reshape(1, -1))
    return _within(np.asarray(grey), inside), source


def _in_view(
    values: Values,
    padding: npt.NDArray[np.bool_],
    counted: tuple[npt.NDArray[np.integer], Grey | None],
    attributes: Dataset,
    choice: Choice,
) -> tuple[str, Values]:
    """What sets the grey levels, and each value's, 0 to 1."""
    if choice.ct_window != "file" and windows.hounsfield(attributes):
        return choice.ct_window, windows.apply(values, windows.CT[choice.ct_window])
    if lut := _lut(attributes, "VOILUTSequence", choice.number):
        return LUT, _unit(lut, look_up(values, lut))
    if window := windows.stated(attributes, choice.number):
        return WINDOW, windows.apply(values, window)
    counts = _counts(*counted, values.size)
    if counts[~padding].any():
        counts = np.where(padding, 0, counts)
    return PERCENTILE, windows.apply(values, windows.percentile(values, counts))


def _padding(domain: npt.NDArray[np.integer], attributes: Dataset) -> npt.NDArray[np.bool_]:
    """Which stored values are padding, one or a range; a value that cannot be stored is none."""
    value, limit = attributes.get("PixelPaddingValue"), attributes.get("PixelPaddingRangeLimit")
    if not isinstance(value, int):
        return np.zeros(domain.shape, bool)
    ends = [value, limit if isinstance(limit, int) else value]
    if domain.dtype.kind == "i":  # a value written as US is the same bits (PS3.5 section 6.2: US or SS)
        wrap = 2 ** (8 * domain.dtype.itemsize)
        ends = [end - wrap if end >= wrap // 2 else end for end in ends]
    found: npt.NDArray[np.bool_] = (domain >= min(ends)) & (domain <= max(ends))
    return found


def _table(frame: Frame) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]]:
    """Every value that can be stored (or is, beyond 16 bits), and where in that list each pixel's is."""
    stored = frame.stored
    if stored.dtype.itemsize > _TABLE_BYTES:
        domain, position = np.unique(stored, return_inverse=True)
        return without_unused(domain, frame.unused), position.reshape(stored.shape)
    bits = 8 * stored.dtype.itemsize
    unsigned = np.dtype(f"=u{stored.dtype.itemsize}")
    native = np.ascontiguousarray(stored, dtype=stored.dtype.newbyteorder("="))
    domain = np.arange(2**bits, dtype=unsigned).view(native.dtype)
    return without_unused(domain, frame.unused), native.view(unsigned)


def _counts(position: npt.NDArray[np.integer], inside: Grey | None, size: int) -> npt.NDArray[np.integer]:
    """How often each of 0 to ``size - 1`` occurs. OpenCV counts in integers, ten times faster than numpy does."""
    if position.dtype.itemsize > _TABLE_BYTES:
        return np.bincount(position.ravel() if inside is None else position[inside > 0], minlength=size)
    return np.asarray(cv2.calcHist([position], [0], inside, [size], [0, size])).ravel().astype(np.int64)


def modality(stored: npt.NDArray[np.integer], attributes: Dataset) -> Values:
    """Modality LUT, or rescale slope and intercept (PS3.3 section C.11.1)."""
    if lut := _lut(attributes, "ModalityLUTSequence"):
        return look_up(stored.astype(np.float64), lut)
    slope, intercept = (windows.number(attributes, word) for word in ("RescaleSlope", "RescaleIntercept"))
    values: Values = stored * (1.0 if slope is None else slope) + (0.0 if intercept is None else intercept)
    return values


def _lut(attributes: Dataset, keyword: str, which: int = 1) -> Dataset | None:
    """The item of this number in a LUT sequence, or the first; None where there is none, or where it holds no table."""
    items: list[Dataset] = list(attributes.get(keyword) or [])
    item = items[which - 1 if which <= len(items) else 0] if items else None
    return item if item and item.get("LUTDescriptor") and item.get("LUTData") is not None else None


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
