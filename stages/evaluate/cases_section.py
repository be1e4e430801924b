"""The report's pictures: cases of each class with maps of the evidence, a contact sheet of the worst errors."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from stages.artifacts import errors
from stages.evaluate import gradcam, sanity
from stages.evaluate.cases import Group
from stages.evaluate.explain import Explained
from stages.evaluate.gradcam import Pixels
from stages.reports.page import Picture

SHEET = 3
"""Errors on the contact sheet, for each case of a class and kind."""

_SITE = 6  # digits of a site's key: there are few
_DIGITS = 12  # of a key on the page: enough for 'radrepro find', short enough to read out
_NO_LAYER = (
    "There are no maps of where the model looks: this architecture has no feature map with places in it at this image "
    "size (a larger preprocess.size may give it one)."
)
_FACT = {"age_band": "age {}", "site": "site {}"}
_DOUBT = " (do not trust the maps: they hardly change with random weights)"
_NO_PIXELS = "No test image is shown (evaluate.cases is 0), so there are no maps of where the model looks either."
_HOW_TO_FIND = (
    "Keys are pseudonyms: 'radrepro find KEY' leads to the file, on a machine that has data/restricted/. errors.csv "
    "beside this page lists every wrong decision."
)


def strips(
    groups: Sequence[Group], explained: Explained | None, pixels: Mapping[int, Pixels]
) -> list[tuple[str, list[Picture]]]:
    """Each group as a strip; a map's overlay beside the plain image. ``pixels`` are (S, S), by row."""
    checked = None if explained is None else explained.sanity
    doubt = _DOUBT if checked is not None and checked["changes"] is False else ""
    return [
        (
            group.title + doubt,
            [_picture(case.row, case.explained, case.caption, explained, pixels) for case in group.cases],
        )
        for group in groups
    ]


def worst(table: pd.DataFrame, most: int) -> pd.DataFrame:
    """The rows of the errors' table that the contact sheet shows: the worst, each image once."""
    return table.drop_duplicates("row").head(SHEET * most)


def sheet(chosen: pd.DataFrame, pixels: Mapping[int, Pixels]) -> list[tuple[str, list[Picture]]]:
    """The contact sheet of :func:`worst`; nothing where there is no error to show."""
    pictures = [Picture(pixels[int(row["row"])], _told(row)) for row in chosen.to_dict("records")]
    return [("Error review: the worst, with keys", pictures)] if pictures else []


def short(image: str) -> str:
    """The first digits of an image's key, with its frame: what ``radrepro find`` takes."""
    instance, dash, frame = image.partition("-")
    return f"{instance[:_DIGITS]}{dash}{frame}"


def notes(explained: Explained | None, *, pixels: bool) -> list[str]:
    """How to read the maps and the sheet; ``pixels`` whether any may be shown."""
    said = [] if pixels else [_NO_PIXELS]
    if explained is not None and explained.layer is None:
        said.append(_NO_LAYER)
    if explained is not None and explained.layer is not None:
        grid = explained.layer.grid
        said.append(
            f"Maps are Grad-CAM of {explained.layer.name}: {grid} by {grid} places, smoothed to the image's size. "
            "They show what speaks for what the model said (of labels: for the finding), red most, each map on its own "
            f"scale, at most {gradcam.ALPHA:.0%} opaque. Two maps cannot be compared by their colours, and a map is no "
            "outline of a finding."
        )
    if explained is not None and explained.sanity is not None:
        said.append(sanity.sentence(explained.sanity))
    return [*said, _HOW_TO_FIND]


def _picture(row: int, k: int, caption: str, explained: Explained | None, pixels: Mapping[int, Pixels]) -> Picture:
    heat = None if explained is None else explained.maps.get((row, k))
    if heat is None:
        return Picture(pixels[row], caption)
    if not heat.any():
        return Picture(pixels[row], f"{caption} (nothing in the image speaks for it)")
    return Picture(pixels[row], caption, gradcam.overlay(pixels[row], heat))


def _told(row: Mapping[Hashable, Any]) -> str:
    facts = [
        _FACT.get(name, "{}").format(row[name][:_SITE] if name == "site" else row[name])
        for name in errors.FACTS
        if isinstance(row[name], str) and row[name]
    ]
    lines = [
        short(row["image"]),
        f"{row['actual']}, said {row['said']}",
        f"(gave the truth {row['probability']:.2f})",
        ", ".join(facts),
    ]
    return "\n".join(filter(None, lines))
