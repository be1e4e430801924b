"""What params.yaml says about decisions: how a threshold is chosen on val."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from stages.params import Section

Share = Annotated[float, Field(gt=0, lt=1)]


class Operate(Section):
    """One of these: what the operating point must reach on val, or what an error costs."""

    sensitivity: Share | None = None
    """The highest threshold that finds this share of val's positives, at least."""

    specificity: Share | None = None
    """The lowest threshold that leaves this share of val's negatives alone, at least."""

    cost: Annotated[float, Field(gt=0)] | None = None
    """The threshold that costs least on val, a miss costing this many false alarms."""

    @model_validator(mode="after")
    def _one(self) -> "Operate":
        if sum(value is not None for value in (self.sensitivity, self.specificity, self.cost)) != 1:
            raise ValueError("name one of sensitivity, specificity and cost")
        return self


Rule = Literal["youden"] | Operate
"""``youden`` (the largest sensitivity + specificity - 1: Youden 1950), or an :class:`Operate`."""
