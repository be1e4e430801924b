"""A card as Markdown: for GitHub, MLflow and a printer."""

from pathlib import Path
from typing import Any

import jinja2


def render(content: dict[str, Any], answers_file: str) -> str:
    """The card. Nothing stands in it that ``content`` does not hold."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # noqa: S701 - Markdown, not HTML; what could be taken for HTML is escaped by the filters
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"cell": cell, "plain": plain}
    return environment.get_template("card.md.j2").render(card=content, answers_file=answers_file)


def plain(text: str) -> str:
    """Text in which a reader's program sees no HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def cell(text: str) -> str:
    """Text of a table's cell: one line, without what would end the cell."""
    return " ".join(plain(text).replace("|", "\\|").split())
