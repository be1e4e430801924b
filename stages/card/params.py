"""The ``card`` section of params.yaml."""

from pydantic import Field

from stages.params import Section


class CardParams(Section):
    """What stands in model cards."""

    answers: str = Field(min_length=1)
    """The author's words, YAML, from the top of the repository: see :mod:`stages.card.answers`."""
