"""``serving.json``: what a model's weights do not say of themselves, and whoever uses it must know."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from stages.ingest.params import IngestParams
from stages.params import Section
from stages.preprocess.params import PreprocessParams
from stages.runtime import UserError

NAME = "serving.json"
WEIGHTS = "model.safetensors"

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Kind(Section):
    """Images that training saw: the words that ingest keeps of (0008,0060) and (0018,0015), None for none stated."""

    modality: str | None
    body_part: str | None
    images: int


class Conformal(Section):
    """What prediction sets are made with, as evaluation calibrated it on val."""

    method: Literal["lac"]
    """Every answer whose probability is at least 1 - q: Sadinle, Lei and Wasserman, JASA 2019."""
    coverage: float = Field(gt=0, lt=1, strict=False)
    """How often a set is to hold the truth."""
    quantiles: dict[str, Annotated[float, Field(ge=0, le=1, strict=False)]]
    """q: of each label of a multi-label task, or of exclusive classes one, named ``all``."""


class Spec(Section):
    """How an image becomes what the model was trained on, how its answer is read, and where it comes from."""

    format: Literal["radrepro-serving-1"] = "radrepro-serving-1"
    recipe: str
    chain_sha256: Sha256
    """:attr:`pipeline.lineage.Chain.sha256` of all that made it, evaluation included."""
    model_sha256: Sha256
    """Of the weights' file."""
    ingest: IngestParams
    """As ingest had them, from dvc.lock."""
    preprocess: PreprocessParams
    domain: tuple[Kind, ...]
    """Of train, most images first."""
    thresholds: dict[str, float]
    """For each class that counts, the probability from which on it is called: evaluation.json."""
    conformal: Conformal | None
    """None for a model that was judged without prediction sets."""

    def write(self, folder: Path) -> None:
        """Write it beside the weights."""
        (folder / NAME).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "Spec":
        """Read it. Raises :class:`UserError` if it is missing, or is not of this format."""
        path = folder / NAME
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise UserError(
                f"{NAME} is not in this model: it was registered by an older version; 'dvc repro' registers it anew"
            ) from None
        except ValueError as error:  # pydantic's is one
            raise UserError(f"{NAME} of this model is damaged: {' '.join(str(error).split())[:300]}") from None
