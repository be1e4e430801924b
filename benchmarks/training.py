"""Images a second of radrepro's training and features beside a bare loop: same network, same batches, same threads.

    python benchmarks/training.py [--architecture mobilenet_v3_small] [--size 128] [--batch-size 32] [--images 1024]
    python benchmarks/training.py --architecture resnet50 --size 224 --precision bf16 --batch-size 256   # with a GPU

The bare loop has its normalised batches as float32 where it computes: all of them on a CPU, one synthetic batch used
again and again on a GPU. It runs as torch does by itself (operations as they come, cuDNN's search on), and once more
made deterministic, as radrepro is: the difference is the price of that. radrepro's reads grey levels from the memory
map. Rounds alternate, so that whatever else the machine does hits all; ratios are of medians, over the first row.
Memory is the device's at the peak of a round: what a contender holds between rounds, and what a round adds.
"""

import argparse
import copy
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

# ruff: noqa: E402 - imports after the path
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
import stages  # noqa: F401 - first: how OpenMP's threads wait is settled before torch loads  # isort: skip
import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from stages import inference, networks
from stages.artifacts.cohort import Task
from stages.artifacts.images import directory
from stages.features.extract import Extractor, ranges
from stages.finetune import plans
from stages.finetune.descent import Steps
from stages.finetune.feed import Examples
from stages.finetune.params import Full
from stages.learning import devices
from stages.loading import Images

CLASSES, SEED = 3, 1
Batches = list[tuple[torch.Tensor, torch.Tensor]]
Round = Callable[[int], object]
"""All images once; given the number of the round, from 0."""


def trainer(classifier: nn.Module, examples: Examples, options: argparse.Namespace, augment: str) -> tuple[Round, str]:
    """radrepro's loop over ``examples``, and its precision: the one place that knows its interface."""
    recipe = Full(
        strategy="full",
        weights="random",
        epochs=100,
        lr=0.01,
        batch_size=options.batch_size,
        threads=options.threads,
        precision=options.precision,
        augment=augment,  # type: ignore[arg-type]
    )
    chosen = devices.precision(recipe.precision, options.device)
    plan = plans.plan(recipe, classifier, options.architecture)
    steps = Steps(classifier, recipe, plan, Task.MULTICLASS, examples, devices.fabric(options.device, chosen))
    return lambda number: steps.epoch(SEED, number + 1), chosen


def main() -> None:
    options = arguments()
    work = Path(tempfile.mkdtemp(prefix="training-"))
    os.chdir(work)
    try:
        measure(options)
    finally:
        shutil.rmtree(work)


def measure(options: argparse.Namespace) -> None:
    options.device = device = inference.device("auto")
    torch.set_num_threads(options.threads)
    torch.manual_seed(SEED)
    examples = make_examples(options)
    start = networks.Classifier(*networks.build_backbone(options.architecture, options.size), CLASSES)
    start.to(device=device, memory_format=torch.channels_last)
    weights = Path("start.safetensors")
    networks.save_backbone(weights, start.backbone, networks.Header(options.architecture, "random", options.size))
    probe, precision = trainer(copy.deepcopy(start), examples, options, "none")
    del probe
    card = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {options.threads} threads"
    print(
        f"{options.architecture}, {options.size} px, {precision}, {card}, {options.images} images in batches of "
        f"{options.batch_size}, torch {torch.__version__}"
    )
    train = {
        "bare": lambda: free(bare_training(copy.deepcopy(start), resident(examples, options), precision, device)),
        "bare, deterministic": lambda: bare_training(
            copy.deepcopy(start), resident(examples, options), precision, device
        ),
        "radrepro": lambda: trainer(copy.deepcopy(start), examples, options, "none")[0],
        "radrepro, augmented": lambda: trainer(copy.deepcopy(start), examples, options, "radiograph")[0],
    }
    compete("training", train, options)
    size = inference.BATCH_SIZE
    extractor = Extractor("a", weights, "auto")
    features = {
        "bare": lambda: free(bare_forward(copy.deepcopy(start.backbone), resident(examples, options, size))),
        "bare, deterministic": lambda: bare_forward(copy.deepcopy(start.backbone), resident(examples, options, size)),
        "radrepro": lambda: lambda _: [extractor(part) for part in ranges(options.images)],
    }
    compete(f"features, fp32, batches of {size}", features, options)
    print(f"Peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB.")


def make_examples(options: argparse.Namespace) -> Examples:
    rng = np.random.default_rng(SEED)
    directory("a").mkdir(parents=True)
    shape = (options.images, options.size, options.size)
    pixels = np.lib.format.open_memmap(directory("a") / "pixels.npy", mode="w+", dtype=np.uint8, shape=shape)
    for row in range(options.images):
        pixels[row] = rng.integers(0, 256, shape[1:], dtype=np.uint8)
    pixels.flush()
    labels = np.eye(CLASSES, dtype=np.float32)[rng.integers(0, CLASSES, options.images)]
    return Examples(Images(pd.DataFrame({"batch": "a", "row": range(options.images)})), labels)


def resident(examples: Examples, options: argparse.Namespace, batch_size: int = 0) -> Batches:
    """Normalised batches where the network is. On a GPU there is one, as often as there are batches."""
    size = batch_size or options.batch_size
    parts = np.split(np.arange(options.images), range(size, options.images, size))
    made = []
    for indices in parts[:1] if options.device.type == "cuda" else parts:
        images = networks.to_input(torch.tensor(examples.images.fetch(indices)))
        labels = torch.tensor(examples.labels[indices]).argmax(dim=1)
        made.append(
            (images.to(options.device, memory_format=torch.channels_last), labels.to(options.device))  # type: ignore[call-overload]
        )
    return made * len(parts) if options.device.type == "cuda" else made


def bare_training(network: nn.Module, data: Batches, precision: str, device: torch.device) -> Round:
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    network.train()

    def step(_: int) -> None:
        for images, labels in data:
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                logits = network(images)
            optimizer.zero_grad()
            functional.cross_entropy(logits.float(), labels).backward()
            optimizer.step()

    return step


def bare_forward(network: nn.Module, data: Batches) -> Round:
    network.eval()

    def step(_: int) -> None:
        with torch.inference_mode():
            for images, _labels in data:
                network(images).cpu()

    return step


def free(step: Round) -> Round:
    """``step`` as torch runs it by itself."""

    def freely(number: int) -> object:
        with torch_as_it_comes():
            return step(number)

    return freely


@contextmanager
def torch_as_it_comes() -> Iterator[None]:
    was = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(mode=False)
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(was[0], warn_only=was[1])
        torch.backends.cudnn.benchmark = False


@dataclass
class Contender:
    """One that takes turns with the others."""

    step: Round
    held: int  # bytes on the device between its rounds
    rates: list[float] = field(default_factory=list)
    added: int = 0


def compete(what: str, makers: dict[str, Callable[[], Round]], options: argparse.Namespace) -> None:
    contenders = {}
    for name, make in makers.items():
        before = allocated(options.device)
        step = make()
        step(0)  # warms up
        contenders[name] = Contender(step, allocated(options.device) - before)
    for number in range(1, options.rounds + 1):
        for contender in contenders.values():
            before = allocated(options.device)
            if options.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            started = time.perf_counter()
            contender.step(number)
            if options.device.type == "cuda":
                torch.cuda.synchronize()
                contender.added = max(contender.added, torch.cuda.max_memory_allocated() - before)
            contender.rates.append(options.images / (time.perf_counter() - started))
    first = statistics.median(contenders["bare"].rates)
    print(f"\n| {what} | images/s, median | mean +- sd | over bare | device memory, MiB |\n{'|---' * 5}|")
    for name, one in contenders.items():
        median, mean, sd = (f(one.rates) for f in (statistics.median, statistics.mean, statistics.stdev))
        memory = f"{(one.held + one.added) / 2**20:.0f}" if options.device.type == "cuda" else "-"
        print(f"| {name} | {median:.0f} | {mean:.0f} +- {sd:.0f} | {median / first:.2f} | {memory} |")
    print(flush=True)


def allocated(device: torch.device) -> int:
    """Bytes of tensors on the device."""
    if device.type != "cuda":
        return 0
    torch.cuda.synchronize()
    return torch.cuda.memory_allocated()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architecture", default="mobilenet_v3_small")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--images", type=int, help="in a round; else 1024, on a GPU ten times as many")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    options = parser.parse_args()
    options.images = options.images or (10240 if torch.cuda.is_available() else 1024)
    return options


if __name__ == "__main__":
    main()
