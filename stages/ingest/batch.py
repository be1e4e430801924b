"""A whole batch: every file under a folder, scanned in worker processes and accounted for."""

from pathlib import Path

from stages import runtime
from stages.executor.ordered import ordered
from stages.executor.work import Work
from stages.ingest import accounting, chunk, tree
from stages.ingest.accounting import Account
from stages.ingest.params import IngestParams
from stages.ingest.scan import Scanner
from stages.pseudonyms import Pseudonyms

_CHUNK = 50  # files handed to a process at a time: one by one does not scale


def scan(root: Path, batch: str, pseudonyms: Pseudonyms, section: IngestParams, name: str) -> Account:
    """Account for every file under ``root``; ``name`` is that of the stage, for its finished chunks.

    Raises
    ------
    UserError
        If the folder is missing, empty or unreadable, no image in it can be used, or the key does not fit the data.
    """
    scanner = Scanner(root.absolute(), pseudonyms)
    paths = tree.entries(root)
    work = Work(
        each=scanner,
        lost=scanner.lost,
        save=chunk.save,
        load=chunk.load,
        stamp=scanner.stamp,
        parameters=f"{root.absolute()} {pseudonyms.of('key', '')} {section.model_dump_json()}",
        limits=section.limits,
    )
    scans = ordered(name, work, paths, _CHUNK)
    account = accounting.reconcile(runtime.progress(scans, len(paths), "files"), batch)
    account.require_images(root)
    return account
