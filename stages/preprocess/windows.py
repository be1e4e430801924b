"""Windows: the file's own, one of CT by its name, or one from the image's percentiles (PS3.3 section C.11.2)."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

Values = npt.NDArray[np.floating]

_PERCENTILES = (1.0, 99.0)


class Window(NamedTuple):
    """PS3.3 section C.11.2.1.2, in output units of the modality LUT."""

    centre: float
    width: float
    function: str = "LINEAR"


CT = {
    "abdomen": Window(50, 400),
    "bone": Window(400, 1800),
    "brain": Window(40, 80),
    "liver": Window(30, 150),
    "lung": Window(-600, 1500),
    "mediastinum": Window(50, 350),
    "spine": Window(50, 250),
    "stroke": Window(40, 40),
}
"""In Hounsfield units: the usual presets (Radiopaedia, "Windowing (CT)")."""


def hounsfield(attributes: Dataset) -> bool:
    """Whether the output of the modality LUT is in Hounsfield units (PS3.3 section C.8.2.1.1.2).

    Rescale Type (0028,1054) says so, or is absent beside a rescale of modality CT; another type is none.
    """
    if str(attributes.get("Modality") or "").strip() != "CT" or number(attributes, "RescaleIntercept") is None:
        return False
    return str(attributes.get("RescaleType") or "HU").strip().upper() == "HU"


def stated(attributes: Dataset, which: int = 1) -> Window | None:
    """The window of this number (the first of fewer); None if there is none, or none that the standard allows."""
    several = min(_count(attributes, "WindowCenter"), _count(attributes, "WindowWidth"))
    which = which if which <= several else 1
    centre, width = number(attributes, "WindowCenter", which), number(attributes, "WindowWidth", which)
    function = str(attributes.get("VOILUTFunction") or "LINEAR").strip().upper()
    if centre is None or width is None or function not in {"LINEAR", "LINEAR_EXACT", "SIGMOID"}:
        return None
    usable = width >= 1 if function == "LINEAR" else width > 0
    return Window(centre, width, function) if usable else None


def percentile(values: Values, counts: npt.NDArray[np.integer]) -> Window:
    """From the 1st to the 99th percentile of the image that has ``values`` so many times (``counts``)."""
    present = np.flatnonzero(counts)
    order = present[np.argsort(values[present], kind="stable")]
    cumulative = counts[order].cumsum()
    low, high = (values[order[np.searchsorted(cumulative, cumulative[-1] * p / 100)]] for p in _PERCENTILES)
    if low == high:  # nearly every pixel is the same: what little differs is the image
        low, high = values[order[0]], values[order[-1]]
    return Window((low + high) / 2, max(high - low, np.finfo(np.float32).tiny), "LINEAR_EXACT")


def apply(values: Values, window: Window) -> Values:
    """0 to 1 (PS3.3 section C.11.2.1.2 and C.11.2.1.3)."""
    centre, width, function = window
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp((-4 * (values - centre) / width).clip(-700, 700))))
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    if width == 0:
        return (values > centre).astype(np.float64)
    return ((values - centre) / width + 0.5).clip(0, 1)


def number(attributes: Dataset, keyword: str, which: int = 1) -> float | None:
    """A value, of several the one of this number; None for none, and for what is no finite number."""
    value = attributes.get(keyword)
    if isinstance(value, MultiValue):
        value = value[which - 1] if len(value) >= which else None
    if value is None or value == "":
        return None
    found = float(value)
    return found if np.isfinite(found) else None


def _count(attributes: Dataset, keyword: str) -> int:
    value = attributes.get(keyword)
    return len(value) if isinstance(value, MultiValue) else 1
