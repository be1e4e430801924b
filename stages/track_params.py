"""The ``track`` section of params.yaml."""

from pydantic import Field

from stages.params import Section


class TrackParams(Section):
    """Where results are kept in MLflow."""

    experiment: str = Field(min_length=1)
    model: str = Field(pattern=r"^[^/:'\"]+$")
    """The name in the registry, which takes neither '/' nor ':'."""
