"""Every accepted file of a batch to square grey images of one size, in one array."""

from pathlib import Path

from stages import params, runtime
from stages.artifacts import images, index, quarantine
from stages.executor.ordered import ordered
from stages.executor.work import Work
from stages.preprocess import chunk, table
from stages.preprocess.convert import Converter
from stages.preprocess.params import PreprocessParams

CHUNK = 16  # files handed to a process at a time


def main() -> None:
    """Index and ``data/raw/<batch>`` -> ``data/images/<batch>``."""
    batch = runtime.argument("batch")
    section = params.read("preprocess", PreprocessParams)
    accepted = index.read(batch)
    restricted = index.read_restricted(batch)
    items = table.items(accepted, restricted, Path("data/raw").absolute() / batch)
    converter = Converter(section)
    work = Work(
        each=converter,
        lost=converter.lost,
        save=chunk.save,
        load=chunk.load,
        stamp=converter.stamp,
        parameters=section.model_dump_json(exclude={"max_quarantined_fraction"}),
        limits=section.limits,
    )
    results = ordered(f"preprocess@{batch}", work, items, CHUNK)

    with runtime.atomic_directory(images.directory(batch)) as directory:
        with images.Writer(directory, section.size) as writer, images.rows_writer(directory) as append:
            made = table.Made(accepted, append)
            for result in runtime.progress(results, len(items), "files"):
                writer.append(made.add(result))
            made.flush()
        quarantine.require_few(
            runtime.STATE / "quarantine" / f"preprocess@{batch}.csv",
            made.rejected,
            len(items) - len(made.rejected),
            section.max_quarantined_fraction,
            "preprocess.max_quarantined_fraction",
            dict(zip(restricted["file"], restricted["path"], strict=True)),
        )
        made.require_images(batch)
        quarantine.write(directory / "quarantine.csv", made.rejected)
    runtime.log.info("%s", made.summary(len(items)))


if __name__ == "__main__":
    runtime.run("preprocess", main, runtime.argument("batch"))
