"""Every file of a batch is accepted, a duplicate, or quarantined: one of them, and never lost."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from stages.artifacts import index, quarantine
from stages.artifacts.quarantine import Rejected
from stages.ingest.scan import Scan
from stages.reasons import DUPLICATES, Reason
from stages.runtime import UserError

_ORDER = ["patient", "study", "series", "instance"]


@dataclass(frozen=True)
class Account:
    """A batch's files, accounted for.

    Attributes
    ----------
    accepted
        The index, sorted by keyed hashes: images of one study stand together, and no order tells of paths or names.
    restricted
        One row per file of the batch.
    rejected
        Duplicates and quarantined files.
    """

    accepted: pd.DataFrame
    restricted: pd.DataFrame
    rejected: list[Rejected]

    def __post_init__(self) -> None:
        status = self.restricted["status"]
        if len(self.accepted) != (status == "accepted").sum() or len(self.rejected) != (status != "accepted").sum():
            raise ValueError("files are not accepted + quarantined + duplicates: this is a defect of ingest")

    def require_images(self, source: Path) -> None:
        """Raise :class:`~stages.runtime.UserError` if no file of ``source`` was accepted."""
        if self.accepted.empty:
            raise UserError(
                f"no image in {source} can be used: {self.summary()}: put the batch's DICOM images there, "
                "or take it out of 'batches' in params.yaml"
            )

    def summary(self) -> str:
        """Counts, with the reasons."""
        status = Counter(self.restricted["status"])
        listed = quarantine.reasons(self.rejected)
        counts = ", ".join(f"{status[name]} {name}" for name in ("accepted", "duplicate", "quarantined"))
        return f"{len(self.restricted)} files: {counts}" + (f" ({listed})" if listed else "")


def reconcile(scans: Iterable[Scan], batch: str) -> Account:
    """Account for every scan. Of several files with one SOP Instance UID the first of ``scans`` is accepted."""
    accepted: dict[object, dict[str, object]] = {}
    restricted, rejected = [], []
    for scan in scans:
        reason, detail, instance = scan.reason, scan.detail, ""
        if scan.kept is not None:
            instance = str(scan.kept["instance"])
            first = accepted.setdefault(instance, {**scan.kept, "file": scan.file, "batch": batch})
            if first["file"] != scan.file:
                same = first["sha256"] == scan.kept["sha256"]
                reason = Reason.DUPLICATE if same else Reason.CONFLICTING_DUPLICATE
        if reason is not None:
            rejected.append(Rejected(scan.file, reason, detail))
        status = "accepted" if reason is None else "duplicate" if reason in DUPLICATES else "quarantined"
        restricted.append((scan.path, scan.file, status, reason.name if reason else "", instance))
    frame = pd.DataFrame(list(accepted.values()), columns=index.SCHEMA.names).sort_values(_ORDER, ignore_index=True)
    return Account(frame, pd.DataFrame(restricted, columns=index.RESTRICTED_COLUMNS), rejected)
