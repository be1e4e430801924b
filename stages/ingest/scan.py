"""Look at one file: hash it, read its header, keep what may be kept. Runs in worker processes."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from stages import files
from stages.executor.stamp import stamp
from stages.ingest import attributes, burned_in, header
from stages.ingest.params import IngestParams
from stages.pseudonyms import Pseudonyms
from stages.reasons import Reason, Refused
from stages.runtime import UserError


class Scan(NamedTuple):
    """What one file turned out to be: ``kept`` holds its columns of the index, or ``reason`` says why not."""

    path: str
    file: str
    kept: dict[str, object] | None
    reason: Reason | None = None
    detail: str = ""


@dataclass(frozen=True)
class Scanner:
    """Scans the files under ``root``; identifiers leave it as keyed hashes only."""

    root: Path
    pseudonyms: Pseudonyms
    section: IngestParams

    def __call__(self, path: str) -> Scan:
        """Accept or refuse the file at ``path`` under the root.

        Raises
        ------
        UserError
            If the file is of a real patient, and the key is the published one.
        """
        try:
            kept = self._kept(path)
        except Refused as refused:
            if refused.reason in {Reason.NOT_DICOM, Reason.ARCHIVE} and files.is_archive(path):
                refused = files.refusal(f"{self.root}/{path}")
            return self._refuse(path, refused.reason, refused.detail)
        return Scan(_printable(path), self._key(path), kept)

    def lost(self, path: str, reason: Reason) -> Scan:
        """The result for a file that ended its process."""
        return self._refuse(path, reason)

    def stamp(self, path: str) -> tuple[int, int] | None:
        """What tells that the file has changed."""
        return stamp(self.root / path)

    def _kept(self, path: str) -> dict[str, object]:
        if _printable(path) != path:
            raise Refused(Reason.UNREADABLE, "its path is not UTF-8: rename it")
        with files.opened(f"{self.root}/{path}", self.section.limits.content) as file:
            try:
                size = file.seek(0, os.SEEK_END)
                file.seek(0)
                dataset = header.read(file, size, self.section.limits.content)
                file.seek(0)
                digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
            except OSError as error:
                raise Refused(Reason.UNREADABLE, type(error).__name__) from None
        try:
            kept = attributes.keep(dataset, self.pseudonyms)
            kept["burned_in"] = burned_in.stated(dataset, self.section)
            phantom = attributes.of_phantom(dataset)
        except Refused:
            raise
        except Exception as error:  # noqa: BLE001 - a value that is not of its kind, of which there is no end
            raise Refused(Reason.UNREADABLE, type(error).__name__) from None
        if self.pseudonyms.public and not phantom:
            raise UserError(
                f"{self.root} holds images that are not the phantom's, and the key that ingest.key_file names is the "
                "public one, which protects nobody: make a secret one with 'openssl rand -hex 32', keep it out of git, "
                "and name it in params.yaml"
            )
        return {**kept, "sha256": digest, "size": size}

    def _refuse(self, path: str, reason: Reason, detail: str = "") -> Scan:
        return Scan(_printable(path), self._key(path), None, reason, detail)

    def _key(self, path: str) -> str:
        return self.pseudonyms.of("file", f"/{_printable(path)}/")  # in slashes: a name's own spaces are part of it


def _printable(path: str) -> str:
    """The path with bytes that are not UTF-8 shown as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
