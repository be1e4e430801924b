"""``python -m stages.split``: data/cohort.parquet, folds, unlabelled, excluded.csv, reports/cohort.json."""

from pathlib import Path

import pandas as pd

from stages import labels, params, runtime
from stages.artifacts import images, unlabelled
from stages.artifacts.cohort import Cohort
from stages.pseudonyms import Pseudonyms
from stages.split import cohort, folds
from stages.split.params import SplitParams
from stages.split.unlabelled import rest


def main() -> None:
    """Join labels to images, deal, save."""
    section = params.read("split", SplitParams)
    batches = params.read("batches", list[str])
    pseudonyms = Pseudonyms.from_file(params.read("ingest.key_file", Path))
    table = labels.read(Path(section.labels), section.key, section.task, section.classes, batches, pseudonyms)
    rows = pd.concat([images.rows(batch) for batch in batches], ignore_index=True)

    values = table.of(rows)
    made, excluded = cohort.build(rows, values, section)
    others = rest(rows, values, made, section.external.held_out(rows))
    dealt = folds.fold(made, len(params.read("cross_validation.folds", list[int])))

    made.write()
    dealt.write()
    unlabelled.write(others, made)
    Cohort.write_excluded(excluded)
    runtime.write_json(Path("reports/cohort.json"), made.counts())
    runtime.log.info("%s", cohort.summary(made, excluded))
    if len(others):
        runtime.log.info(
            "%d images without a label are of nobody who is held out: self_supervised uses them", len(others)
        )


if __name__ == "__main__":
    runtime.run("split", main)
