"""One process on one device, or several of either: the same loop, through Lightning Fabric.

Several are started by ``torchrun``: on one machine by ``RADREPRO_DEVICES``, on many by hand, one ``torchrun`` on each.
"""

import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main as torchrun

from stages.runtime import UserError, die_with_parent

_PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


def launch(module: str, arguments: Sequence[str], devices: int) -> None:
    """If more than one of ``devices`` is asked for: run ``module`` on all, under ``torchrun``, then exit as it does."""
    if devices == 1 or "TORCHELASTIC_RUN_ID" in os.environ:
        return
    die_with_parent()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # else torchrun says so; the recipe decides later
    logging.disable()  # of torchrun's own words: the process that failed has said why
    try:
        torchrun(["--standalone", f"--nproc-per-node={devices}", "-m", module, *arguments])
    except ChildFailedError as error:
        sys.exit(max(failure.exitcode for failure in error.failures.values()) or 1)
    sys.exit(0)


def rank() -> int:
    """Which of the processes this is; 0 writes."""
    return int(os.environ.get("RANK", "0"))


def world() -> int:
    """How many processes there are, on all machines."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def precision(choice: str, device: torch.device) -> str:
    """``fp32``, ``bf16`` or ``fp16`` for a recipe's choice on ``device``.

    On a CPU bf16 makes small networks slower; on a GPU it halves the memory traffic.

    Raises
    ------
    UserError
        If it is asked for where it does not exist.
    """
    if choice == "auto":
        return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
    if choice == "fp16" and device.type == "cpu":
        raise UserError("precision fp16 needs a GPU: choose auto, fp32 or bf16")
    return choice


def fabric(device: torch.device, chosen: str) -> Fabric:
    """What places modules and batches, casts by precision ``chosen``, and adds gradients up over processes."""
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    machines = int(os.environ.get("GROUP_WORLD_SIZE", "1"))
    several = local * machines > 1
    if device.type == "cuda" and local > torch.cuda.device_count():
        raise UserError(f"RADREPRO_DEVICES={local}, but this machine has {torch.cuda.device_count()} GPUs: lower it")
    made = Fabric(
        accelerator=device.type,
        devices=local,
        num_nodes=machines,
        strategy=DDPStrategy(gradient_as_bucket_view=True) if several else "auto",
        precision=_PRECISIONS[chosen],  # type: ignore[arg-type]  # one of its literals
    )
    made.launch()
    return made


def gathered(value: Any, several: Fabric) -> list[Any]:
    """``value`` of every process, by rank."""
    if several.world_size == 1:
        return [value]
    found: list[Any] = [None] * several.world_size
    torch.distributed.all_gather_object(found, value)
    return found
