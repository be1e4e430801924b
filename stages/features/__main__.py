"""data/features/<batch>.npy: what the frozen backbone makes of every image of a batch."""

import pandas as pd

from stages import inference, networks, params, runtime
from stages.artifacts import features, images, weights
from stages.features.params import FeaturesParams
from stages.loading import Images
from stages.settings import Settings


def main() -> None:
    """Load backbone and images, run the one over the other, save."""
    source = Images(pd.DataFrame({"batch": batch, "row": range(len(images.pixels(batch)))}))
    chosen = params.read("features", FeaturesParams)
    backbone, _, _ = networks.load_backbone(weights.path(chosen.weights), source.image_size)
    features.write(batch, inference.logits(backbone, source, inference.device(Settings().device)))


if __name__ == "__main__":
    batch = runtime.argument("batch")
    runtime.run("features", main, batch)
