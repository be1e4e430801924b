"""Images a second of radrepro's training and inference beside a bare loop: same network, same batches, same threads.

    python benchmarks/training.py [architecture] [pixels on a side]

The bare loop has its normalised batches in memory as float32; radrepro's reads grey levels from the memory map. Rounds
alternate, so that whatever else the machine does hits both; the ratio is that of the medians.
"""

import argparse
import copy
import os
import statistics
import tempfile
import time
from collections.abc import Callable

import stages  # noqa: F401 - first: how OpenMP's threads wait is settled before torch loads  # isort: skip
import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from stages import inference, networks
from stages.artifacts.cohort import Task
from stages.artifacts.images import directory
from stages.finetune.params import Full
from stages.finetune.training import Descent, Examples, batches
from stages.loading import Images

IMAGES, CLASSES, ROUNDS, SEED = 320, 3, 5, 1
Batches = list[tuple[torch.Tensor, torch.Tensor]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("architecture", nargs="?", default="mobilenet_v3_small")
    parser.add_argument("size", nargs="?", type=int, default=128)
    architecture, size = vars(parser.parse_args()).values()
    os.chdir(tempfile.mkdtemp())
    device = inference.device("auto")
    examples = make_examples(size)
    recipe = Full(strategy="full", weights="random", epochs=100, lr=0.01, augment="none")
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(SEED)
    ours = networks.Classifier(*networks.build_backbone(architecture, size), CLASSES)
    ours.to(device=device, memory_format=torch.channels_last)
    bare = copy.deepcopy(ours)
    descent = Descent(ours, recipe, Task.MULTICLASS, weights=None, examples=IMAGES, device=device)
    optimizer = torch.optim.SGD(bare.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=1e-4)

    def in_memory(size_of_batch: int) -> Batches:
        chosen = np.split(np.arange(IMAGES), range(size_of_batch, IMAGES, size_of_batch))
        return [
            (
                networks.to_input(torch.tensor(examples.images.fetch(indices))).to(device),
                torch.tensor(examples.labels[indices]).argmax(dim=1).to(device),
            )
            for indices in chosen
        ]

    def train_bare(data: Batches) -> None:
        bare.train()
        for images, labels in data:
            with torch.autocast(device.type, torch.bfloat16, enabled=descent.precision == "bf16"):
                logits = bare(images)
            optimizer.zero_grad()
            functional.cross_entropy(logits.float(), labels).backward()
            optimizer.step()

    def infer_bare(data: Batches) -> None:
        bare.eval()
        with torch.inference_mode():
            for images, _ in data:
                bare(images).cpu()

    training, inferring = in_memory(recipe.batch_size), in_memory(inference.BATCH_SIZE)
    assert len(training) == len(batches(IMAGES, recipe.batch_size, 0, 0))
    print(f"{architecture}, {size} px, {device}, {descent.precision}, {torch.get_num_threads()} threads")
    compare("training", lambda _: train_bare(training), lambda number: descent.epoch(examples, SEED, number))
    compare("inference", lambda _: infer_bare(inferring), lambda _: inference.logits(ours, examples.images, device))


def make_examples(size: int) -> Examples:
    rng = np.random.default_rng(SEED)
    directory("a").mkdir(parents=True)
    np.save(directory("a") / "pixels.npy", rng.integers(0, 256, (IMAGES, size, size), dtype=np.uint8))
    labels = np.eye(CLASSES, dtype=np.float32)[rng.integers(0, CLASSES, IMAGES)]
    return Examples(Images(pd.DataFrame({"batch": "a", "row": range(IMAGES)})), labels)


def compare(what: str, bare: Callable[[int], object], ours: Callable[[int], object]) -> None:
    rates = {"bare": [], "radrepro": []}
    for number in range(ROUNDS + 1):
        for name, step in (("bare", bare), ("radrepro", ours)):
            started = time.perf_counter()
            step(number)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            rates[name].append(IMAGES / (time.perf_counter() - started))
    medians = {name: statistics.median(found[1:]) for name, found in rates.items()}  # the first round warms up
    spread = {name: statistics.stdev(found[1:]) for name, found in rates.items()}
    told = ", ".join(f"{name} {medians[name]:.0f} +- {spread[name]:.0f} images/s" for name in rates)
    print(f"  {what}: {told}, ratio {medians['radrepro'] / medians['bare']:.2f}")


if __name__ == "__main__":
    main()
