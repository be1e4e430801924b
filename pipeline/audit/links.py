"""One link of the chain, and how it stands."""

from dataclasses import asdict, dataclass
from enum import StrEnum


class State(StrEnum):
    """How a link stands."""

    OK = "recomputed, and as recorded"
    BROKEN = "not what was recorded"
    ABSENT = "not here, so not recomputed"


@dataclass(frozen=True)
class Link:
    """One link: ``kind`` groups links (registry, run, model, lock, code, params, data, environment)."""

    kind: str
    name: str
    state: State
    detail: str = ""
    """What is not as recorded, or where it can be had."""

    def to_json(self) -> dict[str, str]:
        """As plain objects."""
        return {**asdict(self), "state": self.state.name}


def link(kind: str, name: str, holds: bool, otherwise: str, detail: str = "") -> Link:
    """OK with ``detail`` if it ``holds``, and else BROKEN with ``otherwise``."""
    return Link(kind, name, State.OK if holds else State.BROKEN, detail if holds else otherwise)
