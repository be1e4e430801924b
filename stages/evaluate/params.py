"""The ``evaluate`` section of params.yaml."""

from pydantic import Field

from stages.judging.params import YOUDEN, Rule, Share
from stages.params import Section


class EvaluateParams(Section):
    """How a model is judged."""

    resamples: int = Field(ge=100, le=100_000)
    """Bootstrap resamples of patients, for the 95 % intervals."""

    threshold: Rule = YOUDEN
    """How the operating point of each class is chosen, on val: ``youden``, ``{sensitivity: 0.95}``,
    ``{specificity: 0.9}``, or ``{cost: 5}`` (a miss costs five false alarms)."""

    prevalence: dict[str, Share] = Field(default={})
    """By class, how common it is where the model will be used: PPV and NPV are then reported for that, too."""

    cases: int = Field(default=8, ge=0, le=100)
    """Right and wrong test images that the report shows, of each; 0 where no pixels may go where reports go."""
