"""The ``preprocess`` section of params.yaml."""

from pydantic import Field

from stages.executor.limits import Limits
from stages.params import Section


class PreprocessParams(Section):
    """What an image is made into."""

    size: int = Field(default=128, ge=16, le=1024)
    """Pixels on each side, after padding to a square."""

    max_frames: int = Field(default=16, ge=1)
    """Of a file with more frames (a cine, a volume), this many are taken, evenly spaced, first and last included."""

    max_quarantined_fraction: float = Field(default=0.1, ge=0, le=1, strict=False)
    """More files that cannot be decoded than this, and the stage fails."""

    limits: Limits = Limits()
    """Of reading and decoding one file."""
