"""Gradient descent on a classifier, judged on val after every epoch."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Generator, Tensor, nn

from stages import inference
from stages.artifacts.cohort import Task
from stages.artifacts.model import Epoch
from stages.finetune.augment import PRESETS, augment
from stages.finetune.auroc import auroc
from stages.finetune.objective import Objective, class_weights, objective
from stages.finetune.optimisation import optimiser, schedule
from stages.finetune.params import Full
from stages.inference import Source
from stages.loading import ahead
from stages.networks import probabilities, to_input
from stages.runtime import UserError, progress

_NORM_MOMENTUM = 0.1
"""Least weight of a new batch in BatchNorm's running statistics. MobileNetV3 comes with 0.01, for epochs of thousands
of batches: after a hundred they would still be half those of the start, and val judged by them means nothing.
"""

log = logging.getLogger("radrepro")


@dataclass(frozen=True)
class Examples:
    """Images and their (N, K) labels: 0, 1 or NaN (unknown); and (N, D) features where they are known already."""

    images: Source
    labels: npt.NDArray[np.float32]
    features: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Course:
    """How training went. The classifier holds the weights of ``best_epoch``."""

    history: list[Epoch]
    best_epoch: int
    images_seen: int
    precision: str


def fit(
    classifier: nn.Module,
    train: Examples,
    val: Examples,
    task: Task,
    recipe: Full,
    *,
    seed: int,
    device: torch.device,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> Course:
    """Train ``classifier`` in place, on ``device``; stop early; leave it with its best weights.

    The best epoch has the highest validation AUROC, and the lowest validation loss among equals. Chance (order of
    images, augmentation, dropout) depends on nothing but ``seed`` and the epoch's number; torch keeps to the recipe's
    number of threads from here on.

    Raises
    ------
    UserError
        If the loss stops being a number, no class can be judged on val, or a GPU's memory does not suffice.
    """
    auroc(
        val.labels, np.zeros_like(val.labels), task
    )  # refuses labels that cannot be judged before the work, not after
    torch.set_num_threads(recipe.threads)
    classifier.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    for module in classifier.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.momentum is not None:  # noqa: SLF001
            module.momentum = max(module.momentum, _NORM_MOMENTUM)
    weights = class_weights(task, torch.tensor(train.labels)) if recipe.class_weights else None
    descent = Descent(classifier, recipe, task, weights=weights, examples=len(train.labels), device=device)
    history: list[Epoch] = []
    best = (-math.inf, -math.inf)
    best_epoch, best_state = 0, classifier.state_dict()
    with _memory_explained():
        for number in range(1, recipe.epochs + 1):
            started = time.monotonic()
            lr, train_loss = descent.epoch(train, seed, number)
            seconds = time.monotonic() - started
            val_loss, val_auroc = _judge(classifier, val, task, objective(task, weights), device)
            if not math.isfinite(train_loss + val_loss):
                raise UserError(f"the loss is no longer a number in epoch {number}: lower this recipe's lr")
            history.append(Epoch(epoch=number, lr=lr, train_loss=train_loss, val_loss=val_loss, val_auroc=val_auroc))
            on_epoch(history[-1])
            _report(history[-1], recipe.epochs, len(train.labels) / seconds, time.monotonic() - started)
            if (val_auroc, -val_loss) > best:
                best, best_epoch = (val_auroc, -val_loss), number
                best_state = {key: value.clone() for key, value in classifier.state_dict().items()}
            elif number - best_epoch >= recipe.patience:
                log.info("no better epoch than %d for %d epochs: stopped early", best_epoch, recipe.patience)
                break
    classifier.load_state_dict(best_state)
    return Course(history, best_epoch, len(history) * len(train.labels), descent.precision)


def batches(examples: int, batch_size: int, seed: int, epoch: int) -> list[npt.NDArray[np.int64]]:
    """Every example once, shuffled by ``seed`` and ``epoch``; a last batch of one joins the one before it.

    Batch normalisation has no variance of one example.
    """
    shuffled = np.random.default_rng([seed, epoch]).permutation(examples)
    cuts = list(range(batch_size, examples, batch_size))
    if cuts and examples - cuts[-1] == 1:
        cuts.pop()
    return np.split(shuffled, cuts)


class Descent:
    """The optimiser at work on one classifier."""

    def __init__(
        self,
        classifier: nn.Module,
        recipe: Full,
        task: Task,
        *,
        weights: Tensor | None,
        examples: int,
        device: torch.device,
    ) -> None:
        self._classifier = classifier
        self._recipe = recipe
        self._device = device
        self._steps = len(batches(examples, recipe.batch_size, 0, 0))
        self._loss = objective(task, None if weights is None else weights.to(device), recipe.label_smoothing)
        self._optimizer = optimiser(classifier.parameters(), recipe)
        warmup = recipe.warmup_epochs * self._steps
        self._scheduler = schedule(self._optimizer, warmup, recipe.epochs * self._steps)
        # On a CPU it makes small networks slower; on a GPU it halves the memory traffic.
        self._bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
        self.precision = "bf16" if self._bf16 else "fp32"

    def epoch(self, train: Examples, seed: int, number: int) -> tuple[float, float]:
        """One pass over ``train``: the learning rate it ended with, and the mean loss per example."""
        self._classifier.train()
        chosen = batches(len(train.labels), self._recipe.batch_size, seed, number)
        chance = _seeded(seed, number, self._device)
        total = torch.zeros((), device=self._device)  # summed there: to ask for each batch's would make a GPU wait
        lr = 0.0
        for pixels, labels in progress(ahead(_fetched(train, chosen, self._device)), self._steps, "batches"):
            lr = float(self._optimizer.param_groups[0]["lr"])
            total += self._step(pixels, labels, chance) * len(labels)
        return lr, float(total) / len(train.labels)

    def _step(self, pixels: Tensor, labels: Tensor, chance: Generator) -> Tensor:
        pixels, labels = pixels.to(self._device, non_blocking=True), labels.to(self._device, non_blocking=True)
        if self._recipe.augment != "none":
            pixels = augment(pixels, PRESETS[self._recipe.augment], chance)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            logits = self._classifier(to_input(pixels))
        loss = self._loss(logits.float(), labels)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch gives it no types
        self._optimizer.step()
        self._scheduler.step()
        return loss.detach()


def _fetched(
    examples: Examples, chosen: list[npt.NDArray[np.int64]], device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    for indices in chosen:
        pixels = torch.from_numpy(examples.images.fetch(indices))
        labels = torch.from_numpy(examples.labels[indices])
        yield (pixels.pin_memory(), labels.pin_memory()) if device.type == "cuda" else (pixels, labels)


def _seeded(seed: int, epoch: int, device: torch.device) -> Generator:
    """Chance of one epoch: a generator for augmentation, and torch's own for dropout."""
    first, second = (int(word) for word in np.random.SeedSequence([seed, epoch]).generate_state(2))
    torch.manual_seed(first)
    return Generator(device).manual_seed(second)


def _judge(
    classifier: nn.Module, val: Examples, task: Task, loss: Objective, device: torch.device
) -> tuple[float, float]:
    logits = torch.from_numpy(inference.logits(classifier, val.images, device))
    val_loss = float(loss(logits, torch.tensor(val.labels)))
    if not math.isfinite(val_loss):
        return val_loss, 0.0
    return val_loss, auroc(val.labels, probabilities(logits, task).numpy(), task)


def _report(epoch: Epoch, epochs: int, rate: float, seconds: float) -> None:
    log.info(
        "epoch %d of %d: loss %.3f, val loss %.3f, val AUROC %.3f, %.0f images/s, %.0f s left",
        epoch["epoch"],
        epochs,
        epoch["train_loss"],
        epoch["val_loss"],
        epoch["val_auroc"],
        rate,
        seconds * (epochs - epoch["epoch"]),
    )


@contextmanager
def _memory_explained() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise UserError(
            "the GPU has too little memory: lower this recipe's batch_size, or set RADREPRO_DEVICE=cpu"
        ) from None
