"""What reading one file may take."""

from pydantic import Field

from stages.params import Section


class Limits(Section):
    """Of one file: what needs more is quarantined."""

    seconds: float = Field(default=60.0, gt=0, strict=False)
    """``DECODE_TIMEOUT`` beyond it."""

    memory_mib: int = Field(default=4096, ge=512)
    """``TOO_LARGE`` beyond it: counted from what the process holds when it begins the file (Linux)."""

    @property
    def content(self) -> int:
        """Bytes that one frame, or what was packed in a file, may have: it is copied a few times on its way."""
        return self.memory_mib * 2**20 // 4
