"""``reports/cards/<recipe>.json`` and ``.md``: the model card of a recipe, with the CLAIM checklist. Both are in git.

Not beside the recipe's evaluation: a card tells of the comparison, which depends on that whole folder.

The JSON holds ``model`` (recipe, sha256, architecture, task, classes), ``summary`` (sentences), ``metrics`` (as
evaluation.json has them: ``{side: {metric: {value, low, high}}}``, ``thresholds``), ``sections`` (those of Mitchell et
al., each with points and tables), ``claim`` (the 44 items) and ``asked`` (what is the author's to fill). A point and an
item have a ``status``: ``filled`` or ``author``.
"""

from pathlib import Path
from typing import Any

from stages import runtime
from stages.runtime import atomic_file


def path(recipe: str) -> Path:
    """Where the card lies, for machines."""
    return Path("reports/cards") / f"{recipe}.json"


def markdown_path(recipe: str) -> Path:
    """Where the card lies, for people."""
    return Path("reports/cards") / f"{recipe}.md"


def write(recipe: str, content: dict[str, Any], markdown: str) -> None:
    """Write both."""
    runtime.write_json(path(recipe), content)
    with atomic_file(markdown_path(recipe)) as beside:
        beside.write_text(markdown, encoding="utf-8")
