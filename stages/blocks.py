"""A backbone as a row of blocks, from the image to the features: what strategies freeze, release and cut off.

One rule serves every family of torchvision. Layers that stand alone (a first convolution and its norm, VGG's
convolutions) form a block up to the next pooling; every stage or layer that is a module of its own (``layer1``,
``denseblock2``, a transformer's encoder layer...) is one. A norm that stands alone belongs to the block before it, and
so does what only reshapes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stages.runtime import UserError

_ROWS = ("features", "trunk_output", "encoder", "encoder.layers", "layers", "blocks")
"""Containers of torchvision that hold blocks and are none."""

_POOLING = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)


@dataclass(frozen=True)
class Block:
    """Modules of a backbone by name, in the order of the data, and parameters that no module of theirs holds."""

    modules: tuple[str, ...]
    loose: tuple[str, ...] = ()

    def parameters(self, backbone: nn.Module) -> list[str]:
        """The names of its parameters, as ``backbone.named_parameters()`` gives them."""
        found = list(self.loose)
        for name in self.modules:
            found += [f"{name}.{inner}" for inner, _ in backbone.get_submodule(name).named_parameters()]
        return found


def split(backbone: nn.Module) -> list[Block]:
    """The blocks, first to last; together they hold every parameter once."""
    blocks: list[list[str]] = []
    alone = False  # whether layers that stand alone are being gathered into the last block
    for name, module in _parts(backbone):
        if isinstance(module, _POOLING):
            alone = False
        elif not any(True for _ in module.parameters()):
            continue
        elif blocks and not _weighs(module):
            blocks[-1].append(name)
        elif not any(True for _ in module.children()):
            if alone:
                blocks[-1].append(name)
            else:
                blocks.append([name])
            alone = True
        else:
            blocks.append([name])
            alone = False
    held = {inner for names in blocks for name in names for inner in _inside(backbone, name)}
    loose = tuple(name for name, _ in backbone.named_parameters() if name not in held)
    return [Block(tuple(names), loose if place == 0 else ()) for place, names in enumerate(blocks)]


def require(blocks: list[Block], wanted: int, what: str) -> None:
    """Raise :class:`UserError` if there are not ``wanted`` blocks and one more; ``what`` names the architecture."""
    if wanted >= len(blocks):
        raise UserError(f"blocks: {wanted}: {what} has {len(blocks)}: choose from 1 to {len(blocks) - 1}")


def truncate(backbone: nn.Module, keep: int, image_size: int) -> int:
    """Cut ``backbone`` after its first ``keep`` blocks, pool what they make, and say how many features that are.

    The names of what is left stay, so that its weights are a part of the whole one's. Truncated transfer: Peng et al.,
    "Rethink Transfer Learning in Medical Image Classification" (2021).
    """
    cut = [name for block in split(backbone)[keep:] for name in block.modules]
    names = [name for name, _ in _parts(backbone)]
    for name in names[names.index(cut[0]) :]:
        # what stands between the blocks goes with them; what comes after all, as Swin's change of order, stays
        if name in cut or name.rpartition(".")[0] in _ROWS:
            backbone.set_submodule(name, nn.Identity())
    if isinstance(getattr(backbone, "avgpool", None), nn.AdaptiveAvgPool2d):
        backbone.avgpool = nn.AdaptiveAvgPool2d(1)  # VGG and AlexNet keep 49 or 36 places for their own classifier
    backbone.register_forward_hook(_pooled)
    training = backbone.training
    backbone.eval()
    with torch.inference_mode():
        features = int(backbone(torch.zeros(1, 1, image_size, image_size)).shape[1])
    backbone.train(training)
    return features


def _pooled(_network: nn.Module, _inputs: object, output: Tensor) -> Tensor:
    return output.mean(dim=(2, 3)) if output.dim() == 4 else output  # noqa: PLR2004 - images, not yet vectors


def _parts(backbone: nn.Module, prefix: str = "") -> list[tuple[str, nn.Module]]:
    found = []
    for name, module in backbone.get_submodule(prefix).named_children():
        path = f"{prefix}.{name}" if prefix else name
        found += _parts(backbone, path) if path in _ROWS else [(path, module)]
    return found


def _weighs(module: nn.Module) -> bool:
    return any(isinstance(inner, nn.Conv2d | nn.Linear | nn.MultiheadAttention) for inner in module.modules())


def _inside(backbone: nn.Module, name: str) -> list[str]:
    return [f"{name}.{inner}" for inner, _ in backbone.get_submodule(name).named_parameters()]
