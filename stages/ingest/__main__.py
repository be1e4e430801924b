"""``python -m stages.ingest <batch>``: ``data/raw/<batch>`` -> index, restricted paths, quarantine."""

from pathlib import Path

from stages import params, runtime
from stages.artifacts import index, quarantine
from stages.ingest import batch
from stages.ingest.params import IngestParams
from stages.pseudonyms import Pseudonyms


def main() -> None:
    """Accept or quarantine every file of a batch, by its header; keep no identity."""
    name = runtime.argument("batch")
    section = params.read("ingest", IngestParams)
    pseudonyms = Pseudonyms.from_file(section.key_file)
    account = batch.scan(Path("data/raw") / name, name, pseudonyms, section, f"ingest@{name}")
    index.write(name, account.accepted)
    index.write_restricted(name, account.restricted)
    quarantine.write(index.quarantine_path(name), account.rejected)
    runtime.log.info("%s", account.summary())


if __name__ == "__main__":
    runtime.run("ingest", main, runtime.argument("batch"))
