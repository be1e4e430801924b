"""The ``shortcuts`` section of params.yaml."""

from pydantic import Field

from stages.params import Section


class ShortcutsParams(Section):
    """When to warn that something else than the disease tells the label."""

    warn_above: float = Field(default=0.6, gt=0.5, lt=1)
    """Of the AUROC on test of what should tell nothing: a lower bound above it is a warning."""

    permutations: int = Field(default=10, ge=5, le=1000)
    """How often labels are permuted within train, to see that nothing is learnt then."""
