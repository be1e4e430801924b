"""Text in the pixels: what the header says of it, and which images are not believed without a word."""

from pydicom.dataset import Dataset

from stages import regions
from stages.ingest.elements import text
from stages.ingest.params import IngestParams
from stages.reasons import Reason, Refused

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # the SOP class, and with a suffix its multi-frame ones (PS3.4 B.5)
_STRIP = 0.03  # a line of text is no lower
DOUBTFUL = regions.ULTRASOUND | {"SC", "XA", "RF"}
"""(0008,0060) of devices that write names into images. RF is XA's sister: the same equipment, the same habits."""


def stated(header: Dataset, section: IngestParams) -> str | None:
    """Burned In Annotation (0028,0301): YES, NO, or None where it is not stated.

    An ultrasound image passes whose regions leave a strip out on one side, of 3 % of it or more, where a device writes:
    preprocess crops to the regions, always. ``NO`` is believed.

    Raises
    ------
    Refused
        With ``BURNED_IN``.
    """
    value = text(header, "BurnedInAnnotation").upper()
    if value == "NO" or _cropped(header):
        return value if value in {"YES", "NO"} else None
    if value == "YES":
        raise Refused(Reason.BURNED_IN, "the header says so")
    if section.burned_in_absent == "quarantine" and _doubtful(header):
        raise Refused(Reason.BURNED_IN, "not stated, and its kind often has it")
    return None


def _cropped(header: Dataset) -> bool:
    found = regions.usable(header)
    if not found:
        return False
    top, bottom, left, right = regions.bounds(found)
    rows, columns = int(header.Rows), int(header.Columns)
    return max(top, rows - bottom) >= _STRIP * rows or max(left, columns - right) >= _STRIP * columns


def _doubtful(header: Dataset) -> bool:
    modality = text(header, "Modality").upper()
    kind = text(header, "SOPClassUID")
    return modality in DOUBTFUL or kind == _SECONDARY_CAPTURE or kind.startswith(_SECONDARY_CAPTURE + ".")
