"""State dictionaries as others save them, brought to the keys of our backbones. Nothing is ever unpickled."""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from stages import networks
from stages.runtime import UserError

_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "model.", "backbone.")
_NOT_USED = ("AuxLogits.", "aux1.", "aux2.", "op_threshs")
"""Of GoogLeNet and Inception: heads that help training, then go. Of TorchXRayVision: operating points."""
_OLD_DENSENET = re.compile(r"(.*denselayer\d+\.(?:norm|conv))\.([12]\..*)")  # norm.1 is norm1 since torch 0.4
_SINCE_TORCH_0_4 = ".num_batches_tracked"  # older files lack it; it matters only where momentum is None
_TIMM_VIT = {
    r"^patch_embed\.proj\.": "conv_proj.",
    r"^cls_token$": "class_token",
    r"^pos_embed$": "encoder.pos_embedding",
    r"^norm\.": "encoder.ln.",
    r"^blocks\.(\d+)\.": r"encoder.layers.encoder_layer_\1.",
    r"\.norm([12])\.": r".ln_\1.",
    r"\.attn\.qkv\.": ".self_attention.in_proj_",
    r"\.attn\.proj\.": ".self_attention.out_proj.",
    r"\.mlp\.fc1\.": ".mlp.0.",
    r"\.mlp\.fc2\.": ".mlp.3.",
}
"""timm's names in a ViT, and torchvision's; query, key and value lie in the same order in both."""
_VIT_POSITIONS, _VIT_PATCHES = "encoder.pos_embedding", "conv_proj.weight"
_USUAL_SIZE = 224


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of what ``torch.save`` wrote, by name.

    Raises
    ------
    UserError
        If the file is missing, is damaged, or holds more than tensors: unpickling could run anything.
    """
    if not path.is_file():
        raise UserError(f"{path} is not here: correct its path in params.yaml, or put the file there")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(
            f"{path} holds more than tensors, and unpickling it could run anything: where it was made, save "
            "model.state_dict() with safetensors.torch.save_file, and name that file"
        ) from None
    except (SafetensorError, RuntimeError, EOFError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is not a whole file of weights ({said}): fetch or save it again") from None
    return _tensors(content, path)


def fit(
    state: Mapping[str, Tensor], architecture: str, what: str, black_white: tuple[float, ...] = ()
) -> tuple[nn.Module, int]:
    """A backbone with these tensors, and the image size it was made for. What belongs to the last layer is left out.

    Raises
    ------
    UserError
        If tensors are missing, are too many or have other shapes; ``what`` names them.
    """
    size = _image_size(state)
    backbone, _ = networks.build_backbone(architecture, size, black_white)
    gone = ("head.", *(f"{name}." for name, module in backbone.named_modules() if isinstance(module, nn.Identity)))
    counters = {key: value for key, value in backbone.state_dict().items() if key.endswith(_SINCE_TORCH_0_4)}
    kept = counters | {key: value for key, value in state.items() if not key.startswith((*gone, *_NOT_USED))}
    networks.load_state(backbone, networks.fit_state(kept, backbone, size), what)
    return backbone, size


def _tensors(content: Any, path: Path) -> dict[str, Tensor]:
    for name in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise UserError(f"{path} is no state dictionary: save model.state_dict(), not the model or a checkpoint of it")
    return {str(key): value for key, value in content.items()}


def plain(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``state`` without the prefixes that wrappers of a network add, with DenseNet's keys of today and a ViT's here."""
    for prefix in _PREFIXES:
        if any(key.startswith(prefix) for key in state) and all(key.startswith((prefix, "head.")) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    if "patch_embed.proj.weight" in state:
        return {_renamed(key): value for key, value in state.items()}
    return {_OLD_DENSENET.sub(r"\1\2", key): value for key, value in state.items()}


def _renamed(key: str) -> str:
    for pattern, ours in _TIMM_VIT.items():
        key = re.sub(pattern, ours, key)
    return key


def _image_size(state: Mapping[str, Tensor]) -> int:
    """A ViT's number of positions tells what image size it was made for; the other families do not depend on it."""
    if _VIT_POSITIONS not in state or _VIT_PATCHES not in state:
        return _USUAL_SIZE
    per_side = round((state[_VIT_POSITIONS].shape[1] - 1) ** 0.5)  # one position is the class token's
    return int(per_side * state[_VIT_PATCHES].shape[-1])
