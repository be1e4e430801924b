"""A whole batch: every file under a folder, scanned in worker processes and accounted for."""

from pathlib import Path

from stages import runtime
from stages.artifacts import quarantine
from stages.executor.ordered import ordered
from stages.executor.work import Work
from stages.ingest import accounting, chunk, tree
from stages.ingest.accounting import Account
from stages.ingest.params import IngestParams
from stages.ingest.scan import Scanner
from stages.pseudonyms import Pseudonyms

_CHUNK = 50  # files handed to a process at a time: one by one does not scale

_LATER = {"max_quarantined_fraction"}  # decides nothing about a file


def scan(root: Path, batch: str, pseudonyms: Pseudonyms, section: IngestParams, name: str) -> Account:
    """Account for every file under ``root``; ``name`` is that of the stage, for its finished chunks.

    Raises
    ------
    UserError
        If the folder is missing, empty or unreadable, no image in it can be used, or the key does not fit the data,
        or too many files are defective.
    """
    scanner = Scanner(root.absolute(), pseudonyms, section)
    paths = tree.entries(root)
    work = Work(
        each=scanner,
        lost=scanner.lost,
        save=chunk.save,
        load=chunk.load,
        stamp=scanner.stamp,
        parameters=f"{root.absolute()} {pseudonyms.of('key', '')} {section.model_dump_json(exclude=_LATER)}",
        limits=section.limits,
    )
    scans = ordered(name, work, paths, _CHUNK)
    account = accounting.reconcile(runtime.progress(scans, len(paths), "files"), batch)
    quarantine.require_few(
        runtime.STATE / "quarantine" / f"{name}.csv",
        account.rejected,
        len(account.accepted),
        section.max_quarantined_fraction,
        "ingest.max_quarantined_fraction",
        dict(zip(account.restricted["file"], account.restricted["path"], strict=True)),
    )
    account.require_images(root)
    return account
