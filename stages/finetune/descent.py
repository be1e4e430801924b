"""Gradient descent, one epoch at a time: a recipe's steps on a classifier, on however many devices."""

from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Generator, Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from stages.artifacts.cohort import Task
from stages.finetune import plans
from stages.finetune.adaptation import Aligned, alignment
from stages.finetune.feed import Batch, Examples, Feed
from stages.finetune.params import AutoRgn, Descent
from stages.finetune.plans import Plan
from stages.finetune.pull import pull
from stages.inference import Source
from stages.learning.augment import PRESETS, augment
from stages.learning.objective import mixed, objective
from stages.learning.optimisation import factor, optimiser, warm_up
from stages.networks import Classifier, to_input
from stages.runtime import UserError, progress

_RGN_BATCHES = 4  # gradients of which tell the relative norms of an epoch


class Steps:
    """The optimiser at work on one classifier, which is moved to the device.

    Parameters
    ----------
    weights
        Of the classes, or None: see :func:`stages.learning.objective.class_weights`.
    target
        Images of another domain, for the recipes that draw features together.

    Raises
    ------
    UserError
        If a batch has fewer than two images for each device.
    """

    def __init__(
        self,
        classifier: Classifier,
        recipe: Descent,
        plan: Plan,
        task: Task,
        train: Examples,
        fabric: Fabric,
        *,
        weights: Tensor | None = None,
        target: Source | None = None,
    ) -> None:
        if recipe.batch_size < 2 * fabric.world_size:
            raise UserError(f"batch_size: {fabric.world_size} devices need {2 * fabric.world_size} at least: raise it")
        device = fabric.device
        self._fabric, self._recipe, self._plan, self._classifier = fabric, recipe, plan, classifier
        classifier.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if fabric.world_size > 1 and device.type == "cuda":
            # in place; on CPUs it does not exist, and each process has the statistics of its own part
            nn.SyncBatchNorm.convert_sync_batchnorm(classifier)  # type: ignore[no-untyped-call]
        aligner = alignment(recipe, classifier.features)
        self._feed = Feed(train, target if aligner else None, recipe, fabric)
        self._epoch_steps = -(-self._feed.batches // recipe.accumulate)
        self._network = Aligned(classifier, aligner.to(device)) if aligner else classifier
        self._run = cast("nn.Module", torch.compile(self._network)) if recipe.compile else self._network
        self._moving = frozenset[str]()
        weights = None if weights is None else weights.to(device)
        self._loss = objective(task, weights, recipe.label_smoothing, recipe.focal_gamma, soft=bool(recipe.mixup))
        named = dict(classifier.named_parameters())
        self._pull = pull({name: named[name] for names in plan.groups[:-1] for name in names}, recipe)
        self._bare = optimiser(self._groups(named, aligner), recipe)
        self._optimizer: Any = fabric.setup_optimizers(self._bare)
        average = get_ema_multi_avg_fn(recipe.ema)  # type: ignore[no-untyped-call]
        self._average = AveragedModel(classifier, multi_avg_fn=average) if recipe.ema else None
        self._taken = 0

    @property
    def judged(self) -> Classifier:
        """What val judges: the classifier, or its moving average."""
        return cast("Classifier", self._average.module) if self._average else self._classifier

    def epoch(self, seed: int, number: int, reached: float = 1.0) -> tuple[float, float]:
        """One pass over train: the learning rate it ended with, and the mean loss per example.

        ``reached``: the factor of a learning rate that goes by plateaus.
        """
        self._release(number)
        scales = self._scales(seed, number)
        chance = _seeded(seed, number, self._fabric)
        total = torch.zeros((), device=self._fabric.device)  # summed there: to ask for each batch's makes a GPU wait
        upcoming, batches = self._feed.epoch(seed, number), self._feed.batches
        if self._fabric.global_rank == 0:
            upcoming = progress(upcoming, batches, "batches")
        lr, whole = 0.0, self._recipe.accumulate
        for place, batch in enumerate(upcoming):
            first = place - place % whole
            together = min(whole, batches - first)
            last = place == first + together - 1
            with self._fabric.no_backward_sync(self._wrapped, enabled=not last and self._fabric.world_size > 1):
                total += self._descend(batch.moved(self._fabric.device), chance, together)
            if last:
                lr = self._move(scales, reached)
        return lr, float(cast("Tensor", self._fabric.all_reduce(total, reduce_op="sum"))) / len(self._feed.train.labels)

    def state(self) -> dict[str, Any]:
        """All that the next epoch goes on from."""
        return {
            "network": self._network.state_dict(),
            "optimizer": self._bare.state_dict(),
            "average": self._average.state_dict() if self._average else {},
            "precision": self._fabric.strategy.precision.state_dict(),
            "start": self._pull.start if self._pull else {},
            "taken": self._taken,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` said."""
        self._network.load_state_dict(state["network"])
        self._bare.load_state_dict(state["optimizer"])
        if self._average:
            self._average.load_state_dict(state["average"])
        self._fabric.strategy.precision.load_state_dict(state["precision"])
        if self._pull:
            self._pull.start = {name: value.to(self._fabric.device) for name, value in state["start"].items()}
        self._taken = state["taken"]

    def _groups(self, named: dict[str, nn.Parameter], aligner: nn.Module | None) -> list[dict[str, Any]]:
        head = len(self._plan.groups) - 1
        groups = []
        for place, names in enumerate(self._plan.groups):
            moving = [named[name] for name in names if name in self._plan.since]
            # the pull stands in the place of decay
            decay = 0.0 if self._pull and place != head else self._recipe.weight_decay
            groups.append({"params": moving, "weight_decay": decay, "place": place})
        if aligner:
            groups.append({"params": list(aligner.parameters()), "place": head})
        return [group for group in groups if group["params"]]

    def _release(self, number: int) -> None:
        """Freeze and free what this epoch freezes and frees."""
        moving = self._plan.moving(number)
        plans.set_modes(self._classifier, moving)
        if moving != self._moving:  # what adds gradients up over devices must know which there are
            self._moving = moving
            self._wrapped = self._fabric.setup_module(self._run, move_to_device=False)

    def _scales(self, seed: int, number: int) -> tuple[float, ...]:
        """Of the learning rate, for each group."""
        if not isinstance(self._recipe, AutoRgn):
            return self._plan.scales
        self._classifier.eval()  # only gradients are wanted: no statistics, no dropout
        for pixels, labels in self._feed.plain(seed, number, _RGN_BATCHES):
            logits = self._wrapped(to_input(pixels.to(self._fabric.device)))
            self._fabric.backward(self._loss(logits, labels.to(self._fabric.device)))
        found = plans.relative_gradient_norms(self._classifier, self._plan.groups)
        self._optimizer.zero_grad()
        plans.set_modes(self._classifier, self._moving)
        return found

    def _descend(self, batch: Batch, chance: Generator, together: int) -> Tensor:
        """Add a batch's gradients; its loss, summed over this device's images."""
        pixels, labels, count = torch.cat([batch.pixels, batch.target]), batch.labels, len(batch.labels)
        if self._recipe.augment != "none":
            pixels = augment(pixels, PRESETS[self._recipe.augment], batch.chances, chance)
        inputs = to_input(pixels)
        if self._recipe.mixup:
            labels = mixed(labels, batch.partners, batch.share)
            inputs = torch.cat([mixed(inputs[:count], batch.partners, batch.share), inputs[count:]])
        extra: Tensor | float = self._pull() if self._pull else 0.0
        if self._feed.target is None:
            logits = self._wrapped(inputs)
        else:
            done = self._taken / (self._recipe.epochs * self._epoch_steps)
            logits, apart = self._wrapped(inputs, count, done)
            extra = extra + apart
        loss = self._loss(logits.float(), labels)
        self._fabric.backward(loss * batch.part + extra / together)
        return loss.detach() * count

    def _move(self, scales: tuple[float, ...], reached: float) -> float:
        """One step with the gradients there are; the learning rate it had."""
        warmup, steps = self._recipe.warmup_epochs * self._epoch_steps, self._recipe.epochs * self._epoch_steps
        now = factor(self._taken, warmup, steps) if self._recipe.schedule == "cosine" else warm_up(self._taken, warmup)
        lr = self._recipe.lr * reached * now
        for group in self._bare.param_groups:
            group["lr"] = lr * scales[group["place"]]
        if self._recipe.clip_norm:
            norm = self._recipe.clip_norm
            self._fabric.clip_gradients(self._wrapped, self._optimizer, max_norm=norm, error_if_nonfinite=False)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._taken += 1
        if self._average:
            self._average.update_parameters(self._classifier)
        return lr


def _seeded(seed: int, epoch: int, fabric: Fabric) -> Generator:
    """Chance of one epoch: a generator for noise, and torch's own for dropout; others on every device."""
    first, second = (int(word) for word in np.random.SeedSequence([seed, epoch, fabric.global_rank]).generate_state(2))
    torch.manual_seed(first)
    return Generator(fabric.device).manual_seed(second)
