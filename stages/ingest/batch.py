"""A whole batch: every file under a folder, scanned in worker processes and accounted for."""

from pathlib import Path

from stages import runtime, workers
from stages.ingest import accounting, tree
from stages.ingest.accounting import Account
from stages.ingest.scan import Scanner
from stages.pseudonyms import Pseudonyms

_CHUNK = 25  # files handed to a worker at a time: one by one does not scale


def scan(root: Path, batch: str, pseudonyms: Pseudonyms, processes: int) -> Account:
    """Account for every file under ``root``.

    Raises
    ------
    UserError
        If the folder is missing, empty or unreadable, no image in it can be used, or the key does not fit the data.
    """
    scanner = Scanner(root, pseudonyms)
    paths = tree.entries(root)
    scans = workers.ordered(scanner, paths, scanner.crashed, processes, _CHUNK)
    account = accounting.reconcile(runtime.progress(scans, len(paths), "files"), batch)
    account.require_images(root)
    return account
