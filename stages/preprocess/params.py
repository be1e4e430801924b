"""The ``preprocess`` section of params.yaml."""

from typing import Literal

from pydantic import Field, field_validator

from stages.executor.limits import Limits
from stages.params import Section


class Every(Section):
    """The first frame, and every ``every``-th after it."""

    every: int = Field(ge=1)


class Most(Section):
    """``max`` frames, evenly spaced from first to last; all of them if there are no more."""

    max: int = Field(ge=1)


class PreprocessParams(Section):
    """What an image is made into."""

    size: int = Field(default=128, ge=16, le=1024)
    """Pixels on each side, after padding to a square."""

    decode: Literal["full", "reduced"] = "full"
    """``reduced`` reads grey JPEG 2000, HTJ2K and baseline JPEG at a half, a quarter or an eighth of each side, as long
    as the longer one keeps ``size`` pixels: faster, other values at edges; what is cut out may have fewer pixels."""

    frames: Literal["all", "middle"] | Every | Most = Most(max=16)
    """Of a file with several (a cine, a volume)."""

    ct_window: Literal["file", "abdomen", "bone", "brain", "liver", "lung", "mediastinum", "spine", "stroke"] = "file"
    """For CT in Hounsfield units; other images, and ``file``, are shown as the file says."""

    window_number: int = Field(default=1, ge=1)
    """Which of a file's windows or VOI LUTs; the first where there are fewer."""

    collimation: Literal["keep", "remove"] = "keep"
    """Of radiographs (CR, DX, RF, XA): leave the collimator's shadow, or cut it off."""

    max_quarantined_fraction: float = Field(default=0.1, ge=0, le=1, strict=False)
    """More files that cannot be decoded than this, and the stage fails."""

    limits: Limits = Limits()
    """Of reading and decoding one file."""

    @field_validator("frames", mode="before")
    @classmethod
    def _one_policy(cls, value: object) -> object:
        pair = next(iter(value.items())) if isinstance(value, dict) and len(value) == 1 else ("", 0)
        count = pair[0] in {"every", "max"} and type(pair[1]) is int and pair[1] >= 1
        if not count and value not in ("all", "middle") and not isinstance(value, Section):
            raise ValueError("is one of all, middle, {every: n} and {max: n}, n being 1 or more")
        return value

    def chosen(self, frames: int) -> list[int]:
        """Which of ``frames`` frames are used, from 0, ascending."""
        match self.frames:
            case "all":
                return list(range(frames))
            case "middle":
                return [frames // 2]
            case Every(every=every):
                return list(range(0, frames, every))
            case Most(max=most):
                gap = (frames - 1) / max(most - 1, 1)
                return list(range(frames)) if frames <= most else [round(number * gap) for number in range(most)]
