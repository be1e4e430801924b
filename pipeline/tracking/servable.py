"""What a recipe's model needs besides its weights, from the chain that made it and the data that it saw."""

from collections import Counter
from typing import Any

from pipeline.lineage import Chain
from pipeline.serving.spec import Conformal, Kind, Spec
from pipeline.tracking.results import RecipeResult
from stages import params
from stages.artifacts.cohort import Cohort, Subset
from stages.ingest.params import IngestParams
from stages.preprocess.params import PreprocessParams
from stages.runtime import UserError


def spec(recipe: RecipeResult, cohort: Cohort, chain: Chain) -> Spec:
    """``chain`` is the recipe's own. Raises :class:`UserError` if its batches were not made alike."""
    return Spec(
        recipe=recipe.name,
        chain_sha256=chain.sha256,
        model_sha256=recipe.sha256,
        ingest=params.validate(_section(chain, "ingest"), IngestParams, "dvc.lock", "ingest"),
        preprocess=params.validate(_section(chain, "preprocess"), PreprocessParams, "dvc.lock", "preprocess"),
        domain=domain(cohort),
        thresholds=recipe.metrics.get("thresholds", {}),
        conformal=_conformal(recipe.metrics.get("conformal")),
    )


def domain(cohort: Cohort) -> tuple[Kind, ...]:
    """The kinds of image that train holds, those of most images first."""
    frame = cohort.subset(Subset.TRAIN).frame
    kinds = zip(map(_known, frame["modality"]), map(_known, frame["body_part"]), strict=True)
    return tuple(
        Kind(modality=modality, body_part=part, images=images)
        for (modality, part), images in sorted(Counter(kinds).items(), key=lambda item: (-item[1], str(item[0])))
    )


def _conformal(found: dict[str, Any] | None) -> Conformal | None:
    if found is None:
        return None
    calibrated = {name: found[name] for name in Conformal.model_fields}
    return params.validate(calibrated, Conformal, "evaluation.json", "conformal")


def _known(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _section(chain: Chain, name: str) -> Any:
    """A section of params.yaml as the stages of that name read it: params.yaml itself may have changed since."""
    found = [stage.params[name] for stage in chain.stages if stage.label.partition("@")[0] == name]
    if any(other != found[0] for other in found[1:]):
        raise UserError(f"dvc.lock: batches were made with different '{name}' parameters: run 'dvc repro'")
    return found[0]
