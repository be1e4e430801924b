"""Epochs over images without labels, on one device; what was reached survives a kill."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Generator, Tensor, nn

from stages.artifacts.pretraining import Pass, Probe
from stages.inference import Source
from stages.learning import memory, norms
from stages.learning.optimisation import factor, optimiser
from stages.learning.resume import Progress
from stages.loading import ahead
from stages.networks import to_input
from stages.pretrain import views
from stages.pretrain.methods import method
from stages.pretrain.params import SelfSupervised
from stages.runtime import UserError, progress

log = logging.getLogger("radrepro")


@dataclass(frozen=True)
class Course:
    """How training went."""

    passes: list[Pass]
    probes: list[Probe]


def fit(
    backbone: nn.Module,
    features: int,
    images: Source,
    settings: SelfSupervised,
    *,
    seed: int,
    fabric: Fabric,
    probe: Callable[[], float],
    on_epoch: Callable[[Mapping[str, Any]], None] = lambda _: None,
    kept: Progress | None = None,
) -> Course:
    """Train ``backbone`` (which makes ``features`` numbers of an image) in place, on ``fabric``'s device.

    The last epoch's weights stay: nothing is chosen by labels. ``probe`` says what the backbone is worth, at the start,
    every ``probe_every`` epochs and at the end; it may leave it in evaluation mode. Chance depends on nothing but
    ``seed`` and the epoch's number, so training that goes on from ``kept`` ends with the same bits; torch keeps to the
    settings' number of threads from here on.

    Raises
    ------
    UserError
        If there is but one image, the loss stops being a number, or a GPU's memory does not suffice.
    """
    if len(images) < 2:  # noqa: PLR2004
        raise UserError("self-supervised training compares images, and there is but one: add more to train on")
    torch.set_num_threads(settings.threads)
    torch.manual_seed(seed)
    norms.quicken(backbone)
    steps = _Steps(backbone, features, images, settings, fabric)
    passes: list[Pass] = []
    probes: list[Probe] = []
    with memory.explained("entry of self_supervised"):
        if kept and (state := kept.load()):
            steps.restore(state["steps"])
            passes, probes = state["passes"], state["probes"]
            log.info("goes on after epoch %d, where it was stopped", len(passes))
        else:
            probes.append(Probe(epoch=0, val_auroc=probe()))
            log.info("at the start: a linear probe's val AUROC is %.3f", probes[0]["val_auroc"])
        on_epoch({**probes[0]})
        for row in passes:
            on_epoch(_told(row, probes))
        while len(passes) < settings.epochs:
            number, started = len(passes) + 1, time.monotonic()
            passes.append(steps.epoch(seed, number))
            seconds = time.monotonic() - started
            if number % settings.probe_every == 0 or number == settings.epochs:
                probes.append(Probe(epoch=number, val_auroc=probe()))
            on_epoch(told := _told(passes[-1], probes))
            _report(told, settings.epochs, len(images) / seconds, time.monotonic() - started)
            if kept:
                kept.save({"steps": steps.state(), "passes": passes, "probes": probes})
    return Course(passes, probes)


class _Steps:
    """The optimiser at work on a network with its heads."""

    def __init__(
        self, backbone: nn.Module, features: int, images: Source, settings: SelfSupervised, fabric: Fabric
    ) -> None:
        self._images, self._settings, self._fabric = images, settings, fabric
        self._network = method(settings, backbone, features)
        self._network.to(device=fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        run = torch.compile(self._network) if settings.compile else self._network
        self._run = fabric.setup_module(cast("nn.Module", run), move_to_device=False)
        self._bare = optimiser([p for p in self._network.parameters() if p.requires_grad], settings)
        self._optimizer: Any = fabric.setup_optimizers(self._bare)
        self._batches = math.ceil(len(images) / settings.batch_size)
        self._taken = 0

    def epoch(self, seed: int, number: int) -> Pass:
        """One pass over the images. Raises :class:`UserError` if the loss is no number."""
        device = self._fabric.device
        first, second = (int(word) for word in np.random.SeedSequence([seed, number]).generate_state(2))
        torch.manual_seed(first)  # of dropout
        noise = Generator(device).manual_seed(second)
        preset = views.PRESETS[self._settings.views]
        total = torch.zeros((), device=device)  # summed there: to ask for each batch's makes a GPU wait
        self._network.train()
        lr = 0.0
        for pixels, chances in progress(ahead(self._made(seed, number)), self._batches, "batches"):
            count = len(pixels)
            twice = pixels.to(device, non_blocking=True).repeat(2, 1, 1)
            made = self._run(to_input(views.view(twice, preset, chances.to(device, non_blocking=True), noise)))
            loss = self._network.loss(made)
            self._fabric.backward(loss)
            total += loss.detach() * count
            lr = self._move()
        mean = float(total) / len(self._images)
        if not math.isfinite(mean):
            raise UserError(
                f"the loss is no longer a number in epoch {number}: lower the lr of this entry of self_supervised"
            )
        return Pass(epoch=number, lr=lr, loss=mean)

    def state(self) -> dict[str, Any]:
        """All that the next epoch goes on from."""
        return {
            "network": self._network.state_dict(),
            "optimizer": self._bare.state_dict(),
            "precision": self._fabric.strategy.precision.state_dict(),
            "taken": self._taken,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` said."""
        self._network.load_state_dict(state["network"])
        self._bare.load_state_dict(state["optimizer"])
        self._fabric.strategy.precision.load_state_dict(state["precision"])
        self._taken = state["taken"]

    def _made(self, seed: int, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """(n, H, W) pixels, shuffled, and (2 n, D) chances of two views each.

        Batches differ in size by one image at most: a small last one would have fewer images to be told from, and a
        lower loss.
        """
        random = np.random.default_rng([seed, number])
        for indices in np.array_split(random.permutation(len(self._images)), self._batches):
            pixels, chances = torch.from_numpy(self._images.fetch(indices)), views.draw(2 * len(indices), random)
            pinned = self._fabric.device.type == "cuda"
            yield (pixels.pin_memory(), chances.pin_memory()) if pinned else (pixels, chances)

    def _move(self) -> float:
        """One step with the gradients there are; the learning rate it had."""
        steps = self._settings.epochs * self._batches
        lr = self._settings.lr * factor(self._taken, self._settings.warmup_epochs * self._batches, steps)
        for group in self._bare.param_groups:
            group["lr"] = lr
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._network.after(self._taken, steps)
        self._taken += 1
        return lr


def _told(row: Pass, probes: list[Probe]) -> dict[str, Any]:
    """An epoch's numbers, and the probe's where there was one after it."""
    judged = [probe for probe in probes if probe["epoch"] == row["epoch"]]
    return {**row, **judged[0]} if judged else {**row}


def _report(told: Mapping[str, Any], epochs: int, rate: float, seconds: float) -> None:
    judged = f", probe's val AUROC {told['val_auroc']:.3f}" if "val_auroc" in told else ""
    log.info(
        "epoch %d of %d: loss %.3f%s, %.0f images/s, %.0f s left",
        told["epoch"],
        epochs,
        told["loss"],
        judged,
        rate,
        seconds * (epochs - told["epoch"]),
    )
