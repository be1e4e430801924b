"""One HTML file that needs nothing else: plotly.js, styles, figures and pictures are in it."""

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import jinja2
import numpy as np
import numpy.typing as npt
from plotly.offline import get_plotlyjs

from stages.runtime import atomic_file

_SHOWN = 256
"""Pixels on a picture's longer side: twice what it takes on the page, for fine screens."""

_QUALITY = 88


COLOURS = ("#1f77b4", "#e07b39", "#2e9e6b", "#b5539c", "#8d6e63", "#5c7cfa")
"""Of one class after the other, in every figure; the template has them too, for lines that say none."""


class Figure(NamedTuple):
    """A plotly figure as data, with a caption that says how to read it."""

    name: str  # unique on the page: letters, digits, hyphens
    title: str
    caption: str
    data: list[dict[str, Any]]
    layout: dict[str, Any]
    wide: bool = False


class Fact(NamedTuple):
    """A number on the first screen: what it is, its value, and what it rests on."""

    label: str
    value: str
    note: str = ""


class Picture(NamedTuple):
    """An example image, (H, W) grey or (H, W, 3) RGB, uint8; what is said of it; and another that stands beside it.

    The page shows them no larger than ``_SHOWN`` pixels: grey as PNG, colour, which would be ten times that, as JPEG.
    """

    pixels: npt.NDArray[np.uint8]
    caption: str
    beside: npt.NDArray[np.uint8] | None = None


class Table(NamedTuple):
    """A small table; the first column names the row. A cell may be a (text, href) pair, and have several lines.

    ``words`` are the columns, from 0, that hold sentences: they run from the left, and are wrapped.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str | tuple[str, str]]]
    words: Sequence[int] = ()


class Page(NamedTuple):
    """A report from top to bottom."""

    title: str
    lead: str
    facts: Sequence[Fact]
    figures: Sequence[Figure]
    pictures: Sequence[tuple[str, Sequence[Picture]]] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    links: Sequence[tuple[str, str]] = ()
    """Text and href, under the lead."""


def with_interval(label: str, entry: Mapping[str, float | None]) -> Fact:
    """A metric (``value, low, high``) as a fact; one that has no value, as AUROC of a single class, says so."""
    value, low, high = entry["value"], entry["low"], entry["high"]
    if value is None or low is None or high is None:
        return Fact(label, "undefined", "a class is absent")
    return Fact(label, f"{value:.3f}", f"95 % interval {low:.3f} to {high:.3f}")


def write(path: Path, page: Page) -> None:
    """Write the page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    figures = {figure.name: {"data": figure.data, "layout": figure.layout} for figure in page.figures}
    html = environment.get_template("page.html.j2").render(
        page=page,
        shown=_shown,
        plotly=get_plotlyjs(),
        # "</" would end the script it stands in
        figures=json.dumps(figures, sort_keys=True, allow_nan=False).replace("</", "<\\/"),
    )
    with atomic_file(path) as beside:
        beside.write_text(html, encoding="utf-8")


def _shown(pixels: npt.NDArray[np.uint8]) -> str:
    """As a data URL."""
    height, width = pixels.shape[:2]
    if (scale := _SHOWN / max(height, width)) < 1:
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    grey = pixels.ndim == 2  # noqa: PLR2004 - (H, W)
    kind, options = ("png", []) if grey else ("jpeg", [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    done, content = cv2.imencode(f".{kind}", pixels if grey else pixels[:, :, ::-1], options)
    assert done
    return f"data:image/{kind};base64," + base64.b64encode(content.tobytes()).decode()
