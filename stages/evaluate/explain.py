"""Maps of where a model found its evidence in some images, and whether they depend on what it learnt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from stages import networks
from stages.evaluate import gradcam, sanity
from stages.evaluate.cases import Case
from stages.evaluate.gradcam import Layer, Maps, Pixels
from stages.evaluate.sanity import Sanity
from stages.networks import Classifier, Header

_RANDOM_NETWORKS = 3
_MOST = 32  # images that settle a random network's norms


@dataclass(frozen=True)
class Explained:
    """Maps by (row, class), each (S, S) from 0 to 1; all of them zero where nothing speaks for the class."""

    layer: Layer | None  # None: the network has no feature map with places, and so there are no maps
    maps: Mapping[tuple[int, int], npt.NDArray[np.float32]] = field(default_factory=dict)
    sanity: Sanity | None = None


def explain(
    classifier: Classifier, header: Header, cases: Sequence[Case], pixels: Mapping[int, Pixels], seed: int
) -> Explained | None:
    """Maps of each of ``cases``, whose images are ``pixels`` (S, S) by row; None where there are no cases.

    It runs where the classifier is, and takes as long as predicting the same images four times. ``seed`` is of the
    random networks.
    """
    wanted = sorted({(case.row, case.explained) for case in cases})
    if not wanted:
        return None
    images = np.stack([pixels[row] for row, _ in wanted])
    classes = [k for _, k in wanted]
    layer = gradcam.find_layer(classifier, images[:2])
    if layer is None:
        return Explained(None)
    found = gradcam.spread(gradcam.maps(classifier, layer, images, classes, header.task), images.shape[1])
    device = next(classifier.parameters()).device
    random = [_random(header, layer, images, classes, seed + n, device) for n in range(_RANDOM_NETWORKS)]
    return Explained(layer, dict(zip(wanted, found, strict=True)), sanity.compare(found, random))


def summary(explained: Explained | None) -> dict[str, Any] | None:
    """For evaluation.json: the layer and what the sanity check found; None where no image is shown."""
    if explained is None:
        return None
    layer, found = explained.layer, explained.sanity
    return {
        "layer": None if layer is None else layer.name,
        "places": None if layer is None else layer.grid,
        "sanity": None if found is None else dict(found),
    }


def _random(
    header: Header, layer: Layer, images: Pixels, classes: Sequence[int], seed: int, device: torch.device
) -> Maps:
    """Maps of the same network with other, random weights: whoever else uses torch's generator finds it as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = networks.untrained(header).to(device)
    _settle(network, images)
    return gradcam.spread(gradcam.maps(network, layer, images, classes, header.task), images.shape[1])


def _settle(network: Classifier, images: Pixels) -> None:
    """Give batch norms the statistics of these images: with none, a deep network's numbers vanish or overflow."""
    some = images[np.arange(max(len(images), 2))[:_MOST] % len(images)]  # of one value a channel there is no spread
    network.eval()
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.train()
            module.momentum = None  # a plain mean: of one batch, the batch's own
            module.reset_running_stats()
    with torch.no_grad():
        network(networks.to_input(torch.from_numpy(some).to(next(network.parameters()).device)))
    network.eval()
