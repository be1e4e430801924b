"""The phantom's section of params.yaml."""

from pydantic import Field

from stages.params import Section


class PhantomParams(Section):
    """How many invented patients, and which ones."""

    seed: int = Field(ge=0)
    patients: int = Field(ge=10, le=20_000)
