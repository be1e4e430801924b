"""``python -m stages.preflight``: refuses what cannot end well, before any pixel is decoded."""

import shutil
from pathlib import Path

import pandas as pd

from stages import labels, params, runtime
from stages.artifacts import index, quarantine
from stages.preflight import fit
from stages.preprocess.params import PreprocessParams
from stages.pseudonyms import Pseudonyms
from stages.split.params import SplitParams


def main() -> None:
    """Check labels, classes and disk; the output never changes, so that it makes nothing stale."""
    section = params.read("split", SplitParams)
    pixels = params.read("preprocess", PreprocessParams)
    batches = params.read("batches", list[str])
    pseudonyms = Pseudonyms.from_file(params.read("ingest.key_file", Path))
    table = labels.read(Path(section.labels), section.key, section.task, section.classes, batches, pseudonyms)
    images = pd.concat([index.read(batch) for batch in batches], ignore_index=True)
    quarantined = sum(len(quarantine.read(index.quarantine_path(batch))) for batch in batches)

    runtime.log.info("%s", fit.check_labels(images, table, section, quarantined))
    fit.check_disk(fit.bytes_needed(images, pixels), shutil.disk_usage(".").free)

    with runtime.atomic_file(Path("data/preflight.txt")) as beside:
        beside.write_text("Labels, classes and disk were checked before any pixel was decoded.\n", encoding="utf-8")


if __name__ == "__main__":
    runtime.run("preflight", main)
