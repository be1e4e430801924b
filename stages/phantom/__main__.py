"""``python -m stages.phantom``: data/raw/site-a, data/raw/site-b and data/phantom.csv."""

from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pandas as pd

from stages import params, runtime
from stages.phantom import cohort, dicom, export
from stages.phantom.params import PhantomParams
from stages.settings import Settings

_BARE = (7, 0)
"""Patient and study whose file has no preamble: of site-b, and among the first ten, so that every cohort has it."""


def main() -> None:
    """Plan, render in worker processes, write."""
    settings = params.read("phantom", PhantomParams)
    studies = cohort.plan(settings.seed, settings.patients)
    with ProcessPoolExecutor(Settings().workers, initializer=runtime.die_with_parent) as pool:
        rendered = pool.map(partial(export.render, settings.seed), studies, chunksize=8)
        images = list(zip(studies, runtime.progress(rendered, len(studies), "images"), strict=True))

    with ExitStack() as stack:
        sites = {site: stack.enter_context(runtime.atomic_directory(Path("data/raw") / site)) for site in cohort.SITES}
        for study, content in images:
            bare = (study.patient.number, study.number) == _BARE
            _write(
                sites[study.patient.site] / export.path(study), export.without_preamble(content) if bare else content
            )
        for file in export.nuisances(settings.seed, images):
            _write(sites[file.site] / file.path, file.content)
    labels = [
        (
            study.patient.identifier,
            dicom.identifier(settings.seed, study, "study"),
            dicom.identifier(settings.seed, study, "instance"),
            study.finding,
        )
        for study in studies
    ]
    with runtime.atomic_file(Path("data/phantom.csv")) as beside:
        columns = ["PatientID", "StudyInstanceUID", "SOPInstanceUID", "label"]
        pd.DataFrame(labels, columns=columns).to_csv(beside, index=False)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


if __name__ == "__main__":
    runtime.run("phantom", main)
