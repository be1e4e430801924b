"""``python -m stages.split``: data/cohort.parquet, data/excluded.csv, reports/cohort.json."""

from pathlib import Path

import pandas as pd

from stages import labels, params, runtime
from stages.artifacts import images
from stages.artifacts.cohort import Cohort
from stages.pseudonyms import Pseudonyms
from stages.split import cohort
from stages.split.params import SplitParams


def main() -> None:
    """Join labels to images, deal, save."""
    section = params.read("split", SplitParams)
    batches = params.read("batches", list[str])
    pseudonyms = Pseudonyms.from_file(params.read("ingest.key_file", Path))
    table = labels.read(Path(section.labels), section.key, section.task, section.classes, batches, pseudonyms)
    rows = pd.concat([images.rows(batch) for batch in batches], ignore_index=True)

    made, excluded = cohort.build(rows, table.of(rows), section)

    made.write()
    Cohort.write_excluded(excluded)
    runtime.write_json(Path("reports/cohort.json"), made.counts())
    runtime.log.info("%s", cohort.summary(made, excluded))


if __name__ == "__main__":
    runtime.run("split", main)
