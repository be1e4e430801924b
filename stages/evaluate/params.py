"""The ``evaluate`` section of params.yaml."""

from typing import Literal

from pydantic import Field

from stages.params import Section


class EvaluateParams(Section):
    """How a model is judged."""

    resamples: int = Field(ge=100, le=100_000)
    """Bootstrap resamples of patients, for the 95 % intervals."""

    threshold: Literal["youden"] = "youden"
    """How the operating point is chosen, on val: the threshold of the largest sensitivity + specificity - 1."""

    cases: int = Field(default=8, ge=0, le=100)
    """Right and wrong test images of each class that the report shows, of each, with maps of where the model looks; of
    the worst errors three times as many. 0 where no pixels may go where reports go."""
