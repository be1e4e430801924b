"""``features`` in params.yaml."""

from pydantic import Field

from stages.params import Section


class FeaturesParams(Section):
    """Which backbone looks at every image."""

    weights: str = Field(min_length=1)
    """A name of ``weights`` or of ``self_supervised``."""
