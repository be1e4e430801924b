"""A report in a real browser, headless: it draws every figure, on any screen, and the check sees what fails."""

from pathlib import Path

import numpy as np
import pytest

from stages.reports import page
from stages.reports.page import Fact, Figure, Page, Picture, Table
from tests import browser

if browser.program() is None:
    pytest.skip("no Chromium here: install one, or name it in RADREPRO_CHROMIUM", allow_module_level=True)

FIGURES = [
    Figure("dots", "Dots", "c", [{"type": "scatter", "x": [1, 2], "y": [2, 3], "mode": "markers"}], {}, wide=True),
    Figure("bars", "Bars", "c", [{"type": "histogram", "x": [0.1, 0.2, 0.2]}], {}),
    Figure("heat", "Heat", "c", [{"type": "heatmap", "z": [[0, 1], [1, 0]]}], {}),
]
GREY, COLOUR = np.full((96, 96), 90, np.uint8), np.full((96, 96, 3), [90, 200, 0], np.uint8)
LONG = "a_recipe_whose_name_is_longer_than_a_phone_is_wide_and_has_no_place_to_break_it"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory):
    with browser.Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def _write(folder: Path, figures: list[Figure]) -> Path:
    content = Page(
        title=LONG,
        lead="What it is.",
        facts=[Fact("AUROC", "0.912", "95 % interval 0.900 to 0.920")] * 5,
        figures=figures,
        pictures=[("Pairs", [Picture(GREY, "a caption", COLOUR)] * 3), ("Sheet", [Picture(GREY, "0" * 12)] * 5)],
        tables=[Table("Table", ["recipe", *"abcdefgh"], [[LONG, *["0.912 [0.900, 0.920]"] * 8]])],
        notes=[f"See {LONG}."],
    )
    page.write(folder / "report.html", content)
    return folder / "report.html"


@pytest.mark.parametrize("width", [1280, 768, 390, 320])
def test_every_figure_is_drawn_on_any_screen(chromium: browser.Browser, tmp_path: Path, width: int) -> None:
    assert browser.faults(chromium, _write(tmp_path, FIGURES), width, dark=width == 390) == []


def test_dark_is_dark_and_paper_is_white(chromium: browser.Browser, tmp_path: Path) -> None:
    chromium.open(_write(tmp_path, FIGURES).as_uri(), dark=True)
    colours = "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    ink = "getComputedStyle(document.querySelector('.plot text')).fill"

    def light(colour: str) -> float:
        return sum(map(float, colour.strip("rgb()").split(",")[:3])) / 765

    paper, text = chromium.evaluate(colours)
    assert light(paper) < 0.2
    assert light(text) > 0.7
    assert light(chromium.evaluate(ink)) > 0.7
    chromium.look(dark=True, media="print")
    paper, text = chromium.evaluate(colours)
    assert light(paper) > 0.9
    assert light(text) < 0.3
    assert light(chromium.evaluate(ink)) < 0.3
    assert chromium.pdf().startswith(b"%PDF")


def test_on_paper_each_figure_is_as_wide_as_its_frame_and_back_on_the_screen_as_before(
    chromium: browser.Browser, tmp_path: Path
) -> None:
    """A4 less margins of 1 cm is 717 CSS pixels wide."""
    plots = "[...document.querySelectorAll('.plot')]"
    widths = f"{plots}.map(plot => plot.querySelector('.main-svg').getBoundingClientRect().width)"
    inside = """[...document.querySelectorAll('.plot')].every(plot => {
      const svg = plot.querySelector('.main-svg'), frame = plot.getBoundingClientRect();
      const box = svg.getBoundingClientRect();
      return box.left >= frame.left - 1 && box.right <= frame.right + 1 && svg.viewBox.baseVal.width <= frame.width + 1;
    })"""
    chromium.open(_write(tmp_path, FIGURES).as_uri(), 717)
    before = chromium.evaluate(widths)
    chromium.look(media="print")
    assert chromium.evaluate(inside)
    assert chromium.evaluate("document.querySelectorAll('.main-svg[viewBox]').length") >= len(FIGURES)
    assert chromium.evaluate("document.querySelector('table').getBoundingClientRect().right <= innerWidth + 1")
    chromium.look()
    assert chromium.evaluate("document.querySelectorAll('.main-svg[viewBox]').length") == 0
    assert chromium.evaluate(widths) == before


def test_the_check_sees_a_script_that_throws_a_figure_that_is_empty_and_what_is_fetched(
    chromium: browser.Browser, tmp_path: Path
) -> None:
    """Else it would pass whatever happens."""
    path = _write(tmp_path, [*FIGURES, Figure("none", "None", "c", [{"type": "scatter", "x": [], "y": []}], {})])
    assert browser.faults(chromium, path) == ["none: an empty drawing"]
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole.replace("\ndraw();\n", "\nthrow new Error('broken');\n"), encoding="utf-8")
    found = browser.faults(chromium, path)
    assert "Error: broken" in found[0]
    assert {"dots: no drawing", "bars: no drawing", "heat: no drawing", "none: no drawing"} <= set(found)
    path.write_text(whole + "<img src='http://localhost:9/x.png'>", encoding="utf-8")
    assert "asks for http://localhost:9/x.png" in browser.faults(chromium, path)
