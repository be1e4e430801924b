"""A report needs nothing but itself, and what it quotes cannot break it."""

import json
import re
from base64 import b64decode
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.reports import page
from stages.reports.page import Fact, Figure, Page, Picture, Table

RED = np.full((600, 300, 3), [200, 0, 0], np.uint8)
PAIR = Picture(np.full((600, 300), 77, np.uint8), "a pair", RED)
NASTY = "</script><script>alert(1)</script>"


class Links(HTMLParser):
    """Everything a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        fetched = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
        self.found += [value or "" for name, value in attrs if fetched.get(tag) == name]


@pytest.fixture
def html(tmp_path: Path) -> str:
    content = Page(
        title=f"a & b {NASTY}",
        lead="lead",
        facts=[Fact("AUROC", "0.9", NASTY)],
        figures=[Figure("one", NASTY, "caption", [{"type": "scatter", "x": [1], "y": [2], "name": NASTY}], {})],
        pictures=[("cases", [Picture(np.full((4, 4), 128, np.uint8), "<b>bold</b>")]), ("pairs", [PAIR])],
        tables=[
            Table("table", ["name"], [[NASTY], [("linked", "recipes/a/report.html")]]),
            Table("sentences", ["name", "what"], [["a", "a long sentence"]], words=(1,)),
        ],
        notes=["a note"],
    )
    page.write(tmp_path / "report.html", content)
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_browser_fetches_nothing(html: str) -> None:
    links = Links()
    links.feed(html)
    kinds = [link.partition(";base64,")[0] for link in links.found]
    assert kinds == ["data:image/png", "data:image/png", "data:image/jpeg"]
    assert "Plotly" in html


def test_pictures_are_what_they_were_but_no_larger_than_they_show(html: str) -> None:
    links = Links()
    links.feed(html)
    plain, grey, red = (np.asarray(Image.open(BytesIO(b64decode(link.partition(",")[2])))) for link in links.found)
    assert (plain == np.full((4, 4), 128)).all()
    assert (grey == np.full((256, 128), 77)).all()
    assert red.shape == (256, 128, 3)
    assert np.abs(red.astype(int) - [200, 0, 0]).max() < 6, "RGB, up to what JPEG loses"
    assert html.count('class="strip pairs"') == 1


def test_names_are_text_not_markup(html: str) -> None:
    assert NASTY not in html
    assert "<b>bold</b>" not in html
    assert '<a href="recipes/a/report.html">linked</a>' in html


def test_a_column_of_sentences_is_marked_and_no_other(html: str) -> None:
    assert '<th class="words">what</th>' in html
    assert '<tr><td>a</td><td class="words">a long sentence</td></tr>' in html
    assert html.count('class="words"') == 2


def test_figures_are_data_that_survive_the_page(html: str) -> None:
    (found,) = re.findall(r"^const figures = (.*);$", html, flags=re.MULTILINE)
    assert json.loads(found)["one"]["data"][0]["name"] == NASTY


def test_a_number_that_is_none_is_refused_and_the_old_page_stays(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    bad = Figure("one", "t", "c", [{"x": [float("nan")]}], {})
    with pytest.raises(ValueError, match="Out of range"):
        page.write(path, Page("t", "l", [], [bad]))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_metric_without_a_value_says_so() -> None:
    none = {"value": None, "low": None, "high": None}
    assert page.with_interval("AUROC", none).value == "undefined"
    fact = page.with_interval("AUROC", {"value": 0.81234, "low": 0.7, "high": 0.9})
    assert (fact.value, fact.note) == ("0.812", "95 % interval 0.700 to 0.900")
