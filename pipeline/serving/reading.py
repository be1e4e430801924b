"""One file to the images that the model is asked about: ingest's rules, then preprocess's. Runs in worker processes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stages import files
from stages.artifacts.quarantine import Rejected
from stages.executor.stamp import stamp
from stages.ingest import attributes, burned_in, header
from stages.ingest.params import IngestParams
from stages.preprocess.convert import Converter, Image, Item
from stages.preprocess.params import PreprocessParams
from stages.reasons import Reason, Refused


@dataclass(frozen=True)
class Reader:
    """Makes images as the stages made those of training, of the kinds (modality, body part) that were there.

    Identifiers are not looked at: a file without them can be asked about, though it could not be trained on.
    """

    ingest: IngestParams
    preprocess: PreprocessParams
    domain: tuple[tuple[str | None, str | None], ...]

    def __call__(self, path: str) -> list[Image] | Rejected:
        """Every image of one file, in the order of its frames, or why there is none."""
        try:
            syntax, frames = self._accepted(path)
        except Refused as refused:
            return Rejected("", refused.reason, refused.detail)
        return Converter(self.preprocess)(Item(0, path, "", syntax, frames))

    def lost(self, _: str, reason: Reason) -> Rejected:
        """The result for a file that ended its process."""
        return Rejected("", reason)

    def stamp(self, path: str) -> tuple[int, int] | None:
        """What tells that the file has changed."""
        return stamp(Path(path))

    def _accepted(self, path: str) -> tuple[str, int]:
        """Its transfer syntax and number of frames. Raises :class:`Refused` if ingest would, or for its kind."""
        most = self.ingest.limits.content
        with files.opened(path, most) as file:
            try:
                size = file.seek(0, os.SEEK_END)
                file.seek(0)
                found = header.read(file, size, most)
            except OSError as error:
                raise Refused(Reason.UNREADABLE, type(error).__name__) from None
        try:
            require(attributes.modality(found), attributes.body_part(found), self.domain)
            burned_in.stated(found, self.ingest)
            return str(found.file_meta.TransferSyntaxUID), attributes.frames(found)
        except Refused:
            raise
        except Exception as error:  # noqa: BLE001 - a value that is not of its kind, of which there is no end
            raise Refused(Reason.UNREADABLE, type(error).__name__) from None


def require(modality: str | None, body_part: str | None, domain: Sequence[tuple[str | None, str | None]]) -> None:
    """Raise :class:`Refused` with ``OUT_OF_DOMAIN`` for an image of a kind that is not in ``domain``.

    The detail holds words of ingest's tables only, which name nobody.
    """
    if modality not in {known for known, _ in domain}:
        seen = _listed({known for known, _ in domain})
        raise Refused(Reason.OUT_OF_DOMAIN, f"modality {_word(modality)}; trained on {seen}")
    parts = {part for known, part in domain if known == modality}
    if body_part not in parts:
        raise Refused(
            Reason.OUT_OF_DOMAIN, f"body part {_word(body_part)}; trained on {_word(modality)} of {_listed(parts)}"
        )


def _listed(words: set[str | None]) -> str:
    return ", ".join(sorted(map(_word, words)))


def _word(word: str | None) -> str:
    return word or "not stated"
