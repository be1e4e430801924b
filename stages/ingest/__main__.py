"""``python -m stages.ingest <batch>``: ``data/raw/<batch>`` -> index, restricted paths, quarantine."""

from pathlib import Path

from stages import params, runtime
from stages.artifacts import index, quarantine
from stages.ingest import batch
from stages.ingest.params import IngestParams
from stages.pseudonyms import Pseudonyms
from stages.settings import Settings


def main() -> None:
    """Accept or quarantine every file of a batch, by its header; keep no identity."""
    name = runtime.argument("batch")
    pseudonyms = Pseudonyms.from_file(params.read("ingest", IngestParams).key_file)
    account = batch.scan(Path("data/raw") / name, name, pseudonyms, Settings().workers)
    index.write(name, account.accepted)
    index.write_restricted(name, account.restricted)
    quarantine.write(index.quarantine_path(name), account.rejected)
    runtime.log.info("%s", account.summary())


if __name__ == "__main__":
    runtime.run("ingest", main, runtime.argument("batch"))
