"""The ``evaluate`` section of params.yaml."""

from typing import Annotated, Self

from pydantic import Field, model_validator

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

    coverage: Share = 0.9
    """How often prediction sets are to hold the truth: val calibrates them for it (:mod:`stages.judging.conformal`)."""

    age_bands: list[Annotated[int, Field(gt=0, lt=120)]] = Field(default=[18, 40, 60, 80], min_length=1)
    """Years, rising, at which another band of ages begins: subgroups."""

    subgroup_patients: int = Field(default=20, ge=5)
    """Patients with a finding, and as many without, that a subgroup must have: else only its size is told."""

    cases: int = Field(default=8, ge=0, le=100)
    """Right and wrong test images of each class that the report shows, of each, with maps of where the model looks; of
    the worst errors three times as many. 0 where no pixels may go where reports go."""

    @model_validator(mode="after")
    def _bands_rise(self) -> Self:
        if self.age_bands != sorted(set(self.age_bands)):
            raise ValueError("age_bands: name each age once, rising")
        return self
