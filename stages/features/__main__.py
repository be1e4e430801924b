"""data/features/<batch>.npy: what the frozen backbone makes of every image of a batch."""

import numpy as np

from stages import params, runtime
from stages.artifacts import features, images, weights
from stages.executor.ordered import ordered
from stages.executor.work import Work
from stages.features import extract
from stages.features.params import FeaturesParams
from stages.settings import Settings


def main() -> None:
    """Run the backbone over the images, save."""
    chosen = params.read("features", FeaturesParams)
    extractor = extract.Extractor(batch, weights.path(chosen.weights), Settings().device)
    work = Work(extractor, extractor.lost, extract.save, extract.load, extractor.stamp, repr(extractor))
    parts = extract.ranges(len(images.pixels(batch)))
    made = ordered(
        f"features@{batch}", work, parts, chunk=1, inline=True
    )  # torch uses all cores, or the GPU, by itself
    features.write(batch, np.concatenate(list(runtime.progress(made, len(parts), "parts"))))


if __name__ == "__main__":
    batch = runtime.argument("batch")
    runtime.run("features", main, batch)
