"""The ``ingest`` section of params.yaml."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from stages.executor.limits import Limits
from stages.params import Section


class IngestParams(Section):
    """How identifiers become keyed hashes, and which files are accepted."""

    key_file: Path = Field(strict=False)
    """The project's secret key; never in git."""

    burned_in_absent: Literal["quarantine", "pass"] = "quarantine"
    """Images of US, IVUS, SC, XA and RF whose header does not say whether text is burned in."""

    max_quarantined_fraction: float = Field(default=0.1, ge=0, le=1, strict=False)
    """More defective files than this, of those that hold images, and the stage fails."""

    limits: Limits = Limits()
    """Of reading one file's header and hashing it."""
