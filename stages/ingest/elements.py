"""The elements of a header that ingest looks at; what stands in any other is not read.

pydicom turns bytes into a value with conversions and checks for every case there is: 10 to 20 us for each. Nearly all
values are a few printable characters or one number, and those are taken here as they stand; any other goes through
pydicom, and comes out as it always did.
"""

import re
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

KEYWORDS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyDate",
    "Modality",
    "Manufacturer",
    "InstitutionName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "BodyPartExamined",
    "ViewPosition",
    "SequenceOfUltrasoundRegions",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "ImageLaterality",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "BurnedInAnnotation",
)


def _listed(keyword: str) -> tuple[BaseTag, str]:
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    return BaseTag(tag), dictionary_VR(tag)


_LISTED = {keyword: _listed(keyword) for keyword in (*KEYWORDS, "MediaStorageSOPClassUID")}
TAGS: list[BaseTag | int] = [int(_LISTED[keyword][0]) for keyword in KEYWORDS]
"""Those of :data:`KEYWORDS`, for pydicom's ``specific_tags``; as plain numbers, which it finds sooner in a set."""

_OF_TEXT = frozenset(["UI", "CS", "LO", "SH", "DA", "AS"])

# ISO 646, which every character set of DICOM begins with (PS3.5 section 6.1.2.1); without the two characters that
# JIS X 0201 has otherwise, of which the backslash also separates values, and without the padding NUL but at the end.
_PLAIN = re.compile(rb"[ -\[\]-}]*\0?")


def text(header: Dataset, keyword: str) -> str:
    """A value as text, padding removed, several joined as they are in the file; empty where it is absent.

    Raises
    ------
    KeyError
        For a keyword that is not listed here: it would not have been read.
    """
    tag, usual = _LISTED[keyword]
    raw = header.get_item(tag, keep_deferred=True)
    if raw is None:
        return ""
    if isinstance(raw, RawDataElement) and (raw.VR or usual) in _OF_TEXT:  # no VR: it is implicit
        if not raw.value:
            return ""
        if _PLAIN.fullmatch(raw.value):
            return raw.value.decode("ascii").strip(" \0")
    value = header.get(keyword)
    if value is None:
        return ""
    joined = "\\".join(str(part) for part in value) if isinstance(value, MultiValue) else str(value)
    return joined.strip(" \0")


def number(header: Dataset, keyword: str) -> Any:
    """What should be a whole number, and in a damaged file is anything; None where it is absent.

    Raises
    ------
    KeyError
        As for :func:`text`.
    """
    tag, usual = _LISTED[keyword]
    raw = header.get_item(tag, keep_deferred=True)
    if raw is None:
        return None
    if isinstance(raw, RawDataElement) and raw.value:
        vr = raw.VR or usual
        if vr == "US" and len(raw.value) == 2:  # noqa: PLR2004 - bytes
            return int.from_bytes(raw.value, "little" if raw.is_little_endian else "big")
        if vr == "IS" and (digits := raw.value.rstrip(b" \0")).isdigit():
            return int(digits)
    return header.get(keyword)
