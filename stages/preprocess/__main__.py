"""Every accepted file of a batch to square grey images of one size, in one array."""

from pathlib import Path

from stages import params, runtime, workers
from stages.artifacts import images, index, quarantine
from stages.preprocess import table
from stages.preprocess.convert import Converter
from stages.preprocess.params import PreprocessParams
from stages.settings import Settings

CHUNK = 4  # files handed to a worker at a time: decoding takes long, and results wait in memory


def main() -> None:
    """Index and ``data/raw/<batch>`` -> ``data/images/<batch>``."""
    batch = runtime.argument("batch")
    section = params.read("preprocess", PreprocessParams)
    accepted = index.read(batch)
    items = table.items(accepted, index.read_restricted(batch), Path("data/raw") / batch)
    converter = Converter(section.size, section.max_frames)
    results = workers.ordered(converter, items, converter.crashed, Settings().workers, CHUNK)

    with runtime.atomic_directory(images.directory(batch)) as directory:
        made = table.Made()
        with images.Writer(directory, section.size) as writer:
            for result in runtime.progress(results, len(items), "files"):
                writer.append(made.add(result))
        made.require_images(batch)
        images.write_rows(directory, made.rows(accepted))
        quarantine.write(directory / "quarantine.csv", made.rejected)
    runtime.log.info("%s", made.summary(len(items)))


if __name__ == "__main__":
    runtime.run("preprocess", main, runtime.argument("batch"))
