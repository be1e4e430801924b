"""What params.yaml says about decisions: how a threshold is chosen on val."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from stages.params import Section

Share = Annotated[float, Field(gt=0, lt=1)]


class Rule(Section):
    """One of these, in params.yaml as ``youden`` or as ``{sensitivity: 0.95}``."""

    youden: Literal[True] | None = None
    """The threshold of the largest sensitivity + specificity - 1 (Youden 1950)."""

    sensitivity: Share | None = None
    """The highest threshold that finds this share of val's positives, at least."""

    specificity: Share | None = None
    """The lowest threshold that leaves this share of val's negatives alone, at least."""

    cost: Annotated[float, Field(gt=0)] | None = None
    """The threshold that costs least on val, a miss costing this many false alarms."""

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, content: Any) -> Any:
        if content == "youden":
            return {"youden": True}
        if not isinstance(content, dict | Rule):
            raise ValueError("youden, or one of {sensitivity: 0.95}, {specificity: 0.9}, {cost: 5}")  # noqa: TRY004 - pydantic reports no other
        return content

    @model_validator(mode="after")
    def _one(self) -> "Rule":
        if sum(value is not None for value in (self.youden, self.sensitivity, self.specificity, self.cost)) != 1:
            raise ValueError("name one of sensitivity, specificity and cost, or write youden")
        return self


YOUDEN = Rule(youden=True)
