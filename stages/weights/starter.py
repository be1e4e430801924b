"""Pre-train the shipped starting weights on images from formulas.

``python -m stages.weights.starter`` makes ``stages/weights/starter.safetensors`` again: the work is a fixed number of
steps and every random number is seeded, so the same versions on the same kind of CPU give the same bytes.
"""

import argparse
import logging
import math
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.networks import Classifier, build_backbone, to_bytes, to_input
from stages.runtime import atomic_file, progress
from stages.weights.formulas import Image, render

log = logging.getLogger("radrepro")

ARCHITECTURE = "mobilenet_v3_small"
SIZE = 96
FRACTALS, CLASSES, INSTANCES, HELD_OUT = 144, 192, 200, 8
BATCH = 128


def main() -> None:
    """Render, train, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("stages/weights/starter.safetensors"))
    parser.add_argument("--steps", type=int, default=2000, help="optimiser steps of 128 images")
    parser.add_argument("--instances", type=int, default=INSTANCES, help="training images of each class")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="starter: %(message)s")

    images, labels = render_all(options.seed, range(options.instances))
    held_out = render_all(options.seed, range(INSTANCES, INSTANCES + HELD_OUT))
    classifier = train(images, labels, options.steps, options.seed)
    top1 = accuracy(classifier, *held_out)
    log.info("top-1 on held-out images: %.3f", top1)
    save(options.out, classifier, options.steps, options.seed, top1)


def render_all(seed: int, instances: range, workers: int | None = None) -> tuple[Tensor, Tensor]:
    """Every class's ``instances``: (N, SIZE, SIZE) uint8 images and (N,) labels."""
    jobs = [(label, instance) for label in range(CLASSES) for instance in instances]
    with ProcessPoolExecutor(workers or len(os.sched_getaffinity(0))) as pool:
        done = pool.map(partial(_render, seed), jobs, chunksize=64)
        images = np.stack(list(progress(done, len(jobs), "images")))
    return torch.from_numpy(images), torch.tensor([label for label, _ in jobs])


def _render(seed: int, job: tuple[int, int]) -> Image:
    return render(seed, *job, SIZE, FRACTALS)


def train(images: Tensor, labels: Tensor, steps: int, seed: int) -> Classifier:
    """AdamW, warm-up and cosine, label smoothing, augmentation: which formula made the image?"""
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(mode=True)
    torch.set_num_threads(1)
    random = torch.Generator().manual_seed(seed)
    backbone, features = build_backbone(ARCHITECTURE, SIZE)
    classifier = Classifier(backbone, features, CLASSES)
    classifier.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs do not know it
    decayed = [p for p in classifier.parameters() if p.ndim > 1]
    kept = [p for p in classifier.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": kept, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=2e-3)
    warm = max(steps // 20, 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda s: min((s + 1) / warm, 0.5 * (1 + math.cos(math.pi * s / steps)))
    )
    classifier.train()
    recent = 0.0
    for step in progress(range(steps), steps, "steps"):
        rows = torch.randint(len(images), (BATCH,), generator=random)
        batch = augment(to_input(images[rows]), random).contiguous(memory_format=torch.channels_last)
        loss = functional.cross_entropy(classifier(batch), labels[rows], label_smoothing=0.1)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(classifier.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        recent += (float(loss.detach()) - recent) / min(step + 1, 50)
        if step % 50 == 0:
            log.info("step %d of %d, loss %.3f", step, steps, recent)
    classifier.eval()
    return classifier


def augment(batch: Tensor, random: torch.Generator) -> Tensor:
    """(N, 1, H, W): one affine resampling, flips, contrast, brightness, inversion, noise, a hole."""
    count, _, height, width = batch.shape

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=random) * (high - low) + low

    angle, zoom = uniform(-math.pi, math.pi), uniform(0.5, 1.0)
    flip = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    row_x = torch.stack([zoom * angle.cos() * flip, -zoom * angle.sin(), uniform(-1, 1) * (1 - zoom)], 1)
    row_y = torch.stack([zoom * angle.sin() * flip, zoom * angle.cos(), uniform(-1, 1) * (1 - zoom)], 1)
    grid = functional.affine_grid(torch.stack([row_x, row_y], 1), [count, 1, height, width], align_corners=False)
    batch = functional.grid_sample(batch, grid, padding_mode="reflection", align_corners=False)

    sign = torch.where(uniform(0, 1, 1, 1, 1) < 0.3, -1.0, 1.0)
    batch = batch * sign * uniform(0.4, 1.3, 1, 1, 1) + uniform(-0.6, 0.6, 1, 1, 1)
    batch = batch + torch.randn(batch.shape, generator=random) * uniform(0, 0.3, 1, 1, 1)
    top, left = uniform(0, 0.8, 1, 1, 1) * height, uniform(0, 0.8, 1, 1, 1) * width
    y, x = torch.arange(height).view(1, 1, -1, 1), torch.arange(width).view(1, 1, 1, -1)
    hole = (y >= top) & (y < top + 0.2 * height) & (x >= left) & (x < left + 0.2 * width)
    return batch.masked_fill(hole, 0.0)


@torch.inference_mode()
def accuracy(classifier: Classifier, images: Tensor, labels: Tensor) -> float:
    """Fraction of images whose formula is named."""
    right = 0
    for some, truth in zip(torch.split(images, BATCH), torch.split(labels, BATCH), strict=True):
        right += int((classifier(to_input(some)).argmax(1) == truth).sum())
    return right / len(images)


def save(path: Path, classifier: Classifier, steps: int, seed: int, top1: float) -> None:
    """The backbone in half precision: 3 MB."""
    metadata = {
        "format": "radrepro-weights-1",
        "architecture": ARCHITECTURE,
        "source": "starter",
        "mean": "0.449",
        "std": "0.226",
        "in_channels": "1",
        "image_size": str(SIZE),
        "recipe": f"{FRACTALS} fractals and {CLASSES - FRACTALS} textures x {INSTANCES}, {steps} steps of {BATCH}, "
        f"seed {seed}, top-1 {top1:.3f} on held-out images",
        "licence": "CC0-1.0",
    }
    state = {k: v.half() if v.is_floating_point() else v for k, v in classifier.backbone.state_dict().items()}
    with atomic_file(path) as beside:
        beside.write_bytes(to_bytes({k: v.contiguous() for k, v in state.items()}, metadata))


if __name__ == "__main__":
    main()
