"""``reports/shortcuts.json``: what else than the disease tells the label. Committed to git.

``{"labels": {"<check>": found}, "origins": {"<column>": found}, "permuted": {"<what>": found}, "warnings": [...]}``.
Every ``found`` holds its AUROCs on test as ``{"value", "low", "high"}`` (95 %, by patient), a ``verdict`` (``ok``,
``warning``, or ``undefined`` where there are too few patients) and the ``rule`` that made it.
"""

from pathlib import Path
from typing import Any, TypedDict, cast

from stages import runtime

PATH = Path("reports/shortcuts.json")

OK, WARNING, UNDEFINED = "ok", "warning", "undefined"


class Shortcuts(TypedDict):
    """The file's content."""

    labels: dict[str, Any]
    """By what tells the label (nuisance, metadata, demographics): ``auroc``, ``per_class``, ``columns``."""
    origins: dict[str, Any]
    """By batch, site, manufacturer: ``from_features``, ``from_nuisance`` (of the ``group`` told best), and
    ``label_from_origin`` (of the ``class`` told best)."""
    permuted: dict[str, Any]
    """Of labels permuted within train, from nuisance and from features: ``mean``, ``sd``, ``permutations``."""
    warnings: list[str]
    """One sentence for each warning, for people; none where all is well."""


def write(found: Shortcuts) -> None:
    """Write it."""
    runtime.write_json(PATH, found)


def read() -> Shortcuts:
    """Read it. Raises :class:`UserError` if it is missing."""
    return cast("Shortcuts", runtime.read_json(PATH))
