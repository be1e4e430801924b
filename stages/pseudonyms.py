"""Identifiers as keyed hashes: a person has one key in every batch, and nobody without the secret can tell who."""

import hmac
from functools import cached_property
from pathlib import Path

from stages.runtime import UserError

DEMO_KEY = Path("stages/phantom/demo.key")
"""Published with the source, therefore no protection: accepted for the phantom's files only."""

PHANTOM_MANUFACTURER = "radrepro phantom"
"""(0008,0070) of the files that :mod:`stages.phantom` makes: the only ones without a real identity in them."""

_SHORTEST_KEY = 32
_LONGEST_SHIFT = 18262


class Pseudonyms:
    """HMAC-SHA256 (FIPS 198-1) under the project's secret key, cut to 128 bits (32 hexadecimal digits)."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._keyed = hmac.new(key, digestmod="sha256")  # copied for each identifier: half the work is the key's

    def __reduce__(self) -> tuple[type["Pseudonyms"], tuple[bytes]]:
        return Pseudonyms, (self._key,)

    @classmethod
    def from_file(cls, path: Path) -> "Pseudonyms":
        """The key that ``ingest.key_file`` in params.yaml names.

        Raises
        ------
        UserError
            If the file is missing, or holds fewer than 32 bytes.
        """
        try:
            key = path.read_bytes().strip()
        except FileNotFoundError:
            raise UserError(
                f"the key file {path} (ingest.key_file) is not here: copy it from where you keep it; "
                "'radrepro add-batch' makes a new one for a new project"
            ) from None
        if len(key) < _SHORTEST_KEY:
            raise UserError(
                f"the key in {path} is shorter than {_SHORTEST_KEY} bytes: make one with 'openssl rand -hex 32'"
            )
        return cls(key)

    @cached_property
    def public(self) -> bool:
        """Whether this is the demonstration's key, under whatever name: then its hashes protect nobody."""
        published = Path(__file__).parents[1] / DEMO_KEY  # wherever the stage runs
        return published.is_file() and hmac.compare_digest(self._key, published.read_bytes().strip())

    def of(self, kind: str, identifier: str) -> str:
        """The keyed hash of ``identifier``; its ``kind`` (patient, study, instance...) keeps equal texts apart.

        DICOM pads values with spaces and NUL (PS3.5 section 6.2): they are not part of the identifier.
        """
        text = identifier.strip(" \0")
        keyed = self._keyed.copy()
        keyed.update(f"{kind}:{text}".encode("utf-8", "surrogatepass"))
        return keyed.hexdigest()[:32]

    def shift(self, patient: str) -> int:
        """Days to shift a patient's dates by: -18,262 to 18,262 (50 years), as good as random without the key."""
        return int(self.of("shift", patient), 16) % (2 * _LONGEST_SHIFT + 1) - _LONGEST_SHIFT
