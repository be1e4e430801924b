"""Names as MLflow takes them: of parameters, metrics and tags."""

import posixpath
import re
from collections.abc import Container

LIMIT = 250
"""Characters."""

DESCRIPTION = "description.sha256"
"""The tag of a version, and of a run, that holds the hash of the text on its page."""

_ROOM = 4  # for what tells two names apart


def clean(name: str) -> str:
    """``name`` with an underscore for what MLflow refuses: a class or a site may be called anything."""
    taken = re.sub(r"[^\w\-. :/]", "_", name, flags=re.ASCII)[:LIMIT]
    return taken if posixpath.normpath(taken) == taken else taken.replace("/", "_")


def free(name: str, used: Container[str]) -> str:
    """``name``, or where it is used already with the first of ``_2``, ``_3``... that is not."""
    number, found = 2, name
    while found in used:
        found, number = f"{name[: LIMIT - _ROOM]}_{number}", number + 1
    return found
