"""Training: epochs of descent, each judged on val, until nothing gets better; what was reached survives a kill."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import Tensor

from stages import inference
from stages.artifacts.cohort import Task
from stages.artifacts.model import Epoch
from stages.finetune.descent import Steps
from stages.finetune.feed import Examples
from stages.finetune.params import Descent
from stages.finetune.plans import Plan
from stages.inference import BATCH_SIZE, Source
from stages.learning import memory, norms, scores
from stages.learning.devices import gathered
from stages.learning.objective import class_weights, objective
from stages.learning.optimisation import plateau
from stages.learning.resume import Progress
from stages.networks import Classifier, probabilities
from stages.runtime import UserError

log = logging.getLogger("radrepro")


@dataclass(frozen=True)
class Course:
    """How training went. The classifier holds the weights of ``best_epoch``."""

    history: list[Epoch]
    best_epoch: int
    images_seen: int


def fit(
    classifier: Classifier,
    train: Examples,
    val: Examples,
    task: Task,
    recipe: Descent,
    plan: Plan,
    *,
    seed: int,
    fabric: Fabric,
    target: Source | None = None,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    kept: Progress | None = None,
) -> Course:
    """Train ``classifier`` in place, on ``fabric``'s device; stop early; leave it with its best weights.

    The best epoch has the highest score on val of what the recipe monitors, and the lowest loss among equals. Chance
    (order of images, augmentation, dropout) depends on nothing but ``seed`` and the epoch's number, so training that
    goes on from ``kept`` ends with the same bits; torch keeps to the recipe's number of threads from here on.

    Raises
    ------
    UserError
        If the loss stops being a number, no class can be judged on val, or a GPU's memory does not suffice.
    """
    scores.auroc(val.labels, np.zeros_like(val.labels), task)  # refused before the work, not after
    torch.set_num_threads(recipe.threads)
    norms.quicken(classifier)
    weights = class_weights(task, torch.tensor(train.labels)) if recipe.class_weights else None
    steps = Steps(classifier, recipe, plan, task, train, fabric, weights=weights, target=target)
    loss = objective(task, weights)
    history: list[Epoch] = []
    best_state: dict[str, Tensor] = {}
    # the first process alone keeps it, on its own disk
    state = gathered(kept.load() if kept and fabric.global_rank == 0 else None, fabric)[0]
    if state:
        steps.restore(state["steps"])
        history, best_state = state["history"], state["best"]
        for epoch in history:
            on_epoch(epoch)
        log.info("goes on after epoch %d, where it was stopped", len(history))
    with memory.explained("recipe"):
        while not _is_over(history, recipe, plan):
            number, started = len(history) + 1, time.monotonic()
            reached = plateau((_score(e, recipe)[0] for e in history), recipe.plateau_factor, recipe.plateau_patience)
            lr, train_loss = steps.epoch(seed, number, reached if recipe.schedule == "plateau" else 1.0)
            seconds = time.monotonic() - started
            epoch = _judge(steps.judged, val, task, loss, fabric, (number, lr, train_loss))
            history.append(epoch)
            if _best(history, recipe) == number:
                best_state = {key: value.clone() for key, value in steps.judged.state_dict().items()}
            if fabric.global_rank == 0:
                on_epoch(epoch)
                _report(epoch, recipe.epochs, len(train.labels) / seconds, time.monotonic() - started)
                if kept:
                    kept.save({"steps": steps.state(), "history": history, "best": best_state})
    classifier.load_state_dict(best_state)
    classifier.requires_grad_(requires_grad=True)
    return Course(history, _best(history, recipe), len(history) * len(train.labels))


def _judge(
    classifier: Classifier,
    val: Examples,
    task: Task,
    loss: Callable[[Tensor, Tensor], Tensor],
    fabric: Fabric,
    trained: tuple[int, float, float],
) -> Epoch:
    """An epoch's row: its number, rate and loss as given, and how the classifier now does on val.

    Raises
    ------
    UserError
        If a loss is no number.
    """
    number, lr, train_loss = trained
    logits = torch.from_numpy(_logits(classifier, val.images, fabric))
    val_loss = float(loss(logits, torch.tensor(val.labels)))
    if not math.isfinite(train_loss + val_loss):
        raise UserError(f"the loss is no longer a number in epoch {number}: lower this recipe's lr")
    found = probabilities(logits, task).numpy()
    return Epoch(
        epoch=number,
        lr=lr,
        train_loss=train_loss,
        val_loss=val_loss,
        val_auroc=scores.auroc(val.labels, found, task),
        val_auprc=scores.auprc(val.labels, found, task),
        val_balanced_accuracy=scores.balanced_accuracy(val.labels, found, task),
    )


def _logits(classifier: Classifier, images: Source, fabric: Fabric) -> npt.NDArray[np.float32]:
    """Of all images; each device looks at its part, in whole batches: an output's last bit depends on their size."""
    batches = np.array_split(np.arange(math.ceil(len(images) / BATCH_SIZE)), fabric.world_size)[fabric.global_rank]
    made = None
    if len(batches):
        own = np.arange(batches[0] * BATCH_SIZE, min((batches[-1] + 1) * BATCH_SIZE, len(images)))
        made = inference.logits(classifier, _Part(images, own), fabric.device)
    return np.concatenate([part for part in gathered(made, fabric) if part is not None])


@dataclass(frozen=True)
class _Part:
    """Some of the images."""

    images: Source
    chosen: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.chosen)

    def fetch(self, indices: npt.ArrayLike) -> npt.NDArray[np.uint8]:
        return self.images.fetch(self.chosen[np.asarray(indices)])


def _score(epoch: Epoch, recipe: Descent) -> tuple[float, float]:
    """Larger for better: what is monitored, then the loss."""
    loss = -epoch["val_loss"]
    return (loss if recipe.monitor == "loss" else epoch[f"val_{recipe.monitor}"]), loss  # type: ignore[literal-required]


def _best(history: list[Epoch], recipe: Descent) -> int:
    return max(history, key=lambda epoch: _score(epoch, recipe))["epoch"]  # the first of equals


def _is_over(history: list[Epoch], recipe: Descent, plan: Plan) -> bool:
    if len(history) == recipe.epochs:
        return True
    best = _best(history, recipe) if history else 0
    since = max(best, *plan.since.values())  # before all is released that will be, there is more to come
    if len(history) - since < recipe.patience:
        return False
    log.info("no better epoch than %d for %d epochs: stopped early", best, recipe.patience)
    return True


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
