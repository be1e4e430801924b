"""The ``ingest`` section of params.yaml."""

from pathlib import Path

from pydantic import Field

from stages.executor.limits import Limits
from stages.params import Section


class IngestParams(Section):
    """How identifiers become keyed hashes."""

    key_file: Path = Field(strict=False)
    """The project's secret key; never in git."""

    limits: Limits = Limits()
    """Of reading one file's header and hashing it."""
