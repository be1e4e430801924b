"""Where an ultrasound image is, in a picture that also holds text, scales and a logo (PS3.3 section C.8.5.5)."""

from typing import NamedTuple

from pydicom.dataset import Dataset

ULTRASOUND = frozenset(["US", "IVUS"])
"""(0008,0060) of the images that are cropped to their regions."""


_SEQUENCE = "SequenceOfUltrasoundRegions"
_EDGES = ("RegionLocationMinY0", "RegionLocationMaxY1", "RegionLocationMinX0", "RegionLocationMaxX1")


class Region(NamedTuple):
    """Pixels of the whole image, the first row and column being 0; ``bottom`` and ``right`` are not in it."""

    top: int
    bottom: int
    left: int
    right: int


def usable(header: Dataset) -> list[Region]:
    """The items of the Sequence of Ultrasound Regions (0018,6011), cut to Rows and Columns.

    Empty for an image of another modality, and where nothing of an item is in the image.
    """
    if str(header.get("Modality") or "").strip(" \0").upper() not in ULTRASOUND:
        return []
    found = (_region(item, int(header.Rows), int(header.Columns)) for item in header.get(_SEQUENCE) or [])
    return [region for region in found if region]


def bounds(found: list[Region]) -> Region:
    """The least rectangle that holds them all; at least one is given."""
    tops, bottoms, lefts, rights = zip(*found, strict=True)
    return Region(min(tops), max(bottoms), min(lefts), max(rights))


def _region(item: Dataset, rows: int, columns: int) -> Region | None:
    values = [item.get(word) for word in _EDGES]
    if not all(isinstance(value, int) for value in values):
        return None
    top, bottom, left, right = (int(value) for value in values)
    cut = Region(max(top, 0), min(bottom + 1, rows), max(left, 0), min(right + 1, columns))  # edges are in the region
    return cut if cut.top < cut.bottom and cut.left < cut.right else None
