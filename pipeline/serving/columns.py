"""What goes into a served model and what comes out, by name.

In, one of: ``dicom``, a file's bytes (over HTTP as base64); ``path``, of a file here, if the model was loaded with
``model_config={"paths": True}``; ``image``, (H, W) grey levels from 0 to 255. Out, a row for every image: a file with
several frames has several, and one that is refused has none, or one with its ``refused`` filled in, as the parameter
``refused`` says.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.serving.decisions import Answer
from pipeline.serving.spec import Spec
from stages.artifacts.quarantine import Rejected

DICOM, PATH, IMAGE = "dicom", "path", "image"
INPUTS = (DICOM, PATH, IMAGE)

PATHS = "paths"

REFUSED, RAISE, REPORT = "refused", "raise", "report"

_TEXT, _TEXTS, _WHOLE, _REAL = "string", "strings", "long", "double"


def outputs(classes: Sequence[str]) -> dict[str, str]:
    """Each column and its type: ``string``, ``strings`` (a list), ``long`` or ``double``."""
    return {
        "row": _WHOLE,  # of the input, from 0
        "frame": _WHOLE,  # of the file, from 0
        **{f"probability:{name}": _REAL for name in classes},  # calibrated, if the model is
        "decision": _TEXTS,  # the class called; of a multi-label task, every one
        "above_threshold": _TEXTS,
        "prediction_set": _TEXTS,  # holds the truth as often as evaluation.json states
        "refused": _TEXT,  # why there is no answer
        "model": _TEXT,  # name and version in the registry
        "recipe": _TEXT,
        "model_sha256": _TEXT,
        "chain_sha256": _TEXT,
    }


def rows(
    number: int, result: Sequence[Answer] | Rejected, classes: Sequence[str], spec: Spec, version: str
) -> Iterator[dict[str, Any]]:
    """The rows for one input; ``version`` as ``radrepro/3``. What does not apply is left out."""
    source = {"model": version, "recipe": spec.recipe}
    source |= {"model_sha256": spec.model_sha256, "chain_sha256": spec.chain_sha256}
    if isinstance(result, Rejected):
        yield {"row": number, "refused": told(result), **source}
        return
    for answer in result:
        yield {
            "row": number,
            "frame": answer.frame,
            **{f"probability:{name}": p for name, p in zip(classes, answer.probabilities, strict=True)},
            "decision": list(answer.said.called),
            "above_threshold": list(answer.said.above),
            "prediction_set": None if answer.said.prediction_set is None else list(answer.said.prediction_set),
            **source,
        }


def told(rejected: Rejected) -> str:
    """``OUT_OF_DOMAIN (modality MG; trained on CR): not the kind of image...``: nothing of it is from the file."""
    detail = f" ({rejected.detail})" if rejected.detail else ""
    return f"{rejected.reason.name}{detail}: {rejected.reason.value}"
