"""Where a network finds its evidence: Grad-CAM (Selvaraju et al., ICCV 2017), computed by captum.

A map is the last feature map that still has places, its channels weighted by the mean gradient of what is explained,
summed, negative values cut off. What is explained is a class's log-odds, ``log(p / (1 - p))``: of a softmax only
differences between logits mean anything, and of two classes a map of one logit alone could show what both share.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn

from stages.networks import Classifier, to_input

Maps = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

ALPHA = 0.5
"""Opacity of the colour where a map is highest; in proportion to the map elsewhere, so that where it is 0 the image
is as it was."""

_BATCH = 32
_POOLING = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
_LEAST = 2  # places across a map: a single one says nothing of where


@dataclass(frozen=True)
class Layer:
    """Where maps are taken: a module of the backbone, and how its output lies."""

    name: str  # in the classifier: "backbone.layer4"
    layout: str  # "NCHW", "NHWC" (Swin) or "tokens" (N, places and perhaps a class token before them, C)
    grid: int  # places across and down


@dataclass
class _Tap:
    """A forward hook that turns a layer's output into (N, C, H, W) for captum to look at, and back."""

    layer: Layer
    map: nn.Module = field(default_factory=nn.Identity)

    def __call__(self, _module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        if self.layer.layout == "NCHW":
            tapped: Tensor = self.map(output)
            return tapped
        if self.layer.layout == "NHWC":
            back: Tensor = self.map(output.permute(0, 3, 1, 2))
            return back.permute(0, 2, 3, 1)
        grid = self.layer.grid
        places = output[:, -grid * grid :].transpose(1, 2).reshape(len(output), -1, grid, grid)
        return torch.cat([output[:, : -grid * grid], self.map(places).flatten(2).transpose(1, 2)], dim=1)


def find_layer(classifier: Classifier, pixels: Pixels) -> Layer | None:
    """The last layer whose output has places, and through which all goes that the features are made of; or None.

    Found by running the backbone on ``pixels`` (N, S, S) uint8 and looking at what its modules give. Poolings do not
    count: VGG's makes 49 places of what may be 9. The last tokens of a ViT do not either: only the class token is read
    there, so no gradient reaches a place. Nor does one branch of several. The classifier is left in evaluation mode,
    its parameters frozen.
    """
    backbone = _frozen(classifier).backbone
    images = _input(classifier, pixels).requires_grad_()
    seen: list[tuple[str, nn.Module, Any]] = []
    hooks = [
        module.register_forward_hook(lambda m, _, out, name=name: seen.append((name, m, out)))
        for name, module in backbone.named_modules(prefix="backbone")
        if module is not backbone
    ]
    try:
        with torch.enable_grad():
            features = backbone(images)
    finally:
        for hook in hooks:
            hook.remove()
    directions = torch.randn(features.shape, generator=torch.Generator().manual_seed(0)).to(features.device)
    told = (features * directions).sum()
    calls = [name for name, _, _ in seen]
    pooled = {id(output) for _, module, output in seen if isinstance(module, _POOLING)}
    for name, module, output in reversed(seen):
        layer = None if isinstance(module, nn.Identity) else _places(name, output, len(pixels))  # one that was cut off
        if layer is None or calls.count(name) > 1 or id(output) in pooled:
            continue
        (gradient,) = torch.autograd.grad(told, output, retain_graph=True, allow_unused=True)
        if gradient is not None and _of_places(gradient, layer).any() and _holds_all(backbone, layer, images):
            return layer
    return None


def maps(classifier: Classifier, layer: Layer, pixels: Pixels, targets: Sequence[int], task: str) -> Maps:
    """(N, grid, grid) evidence, 0 or more, for class ``targets[n]`` of image ``n``; on the classifier's device.

    Zeros where nothing speaks for the class. ``task`` says what the logits are, as for
    :func:`stages.networks.probabilities`.
    """
    tap = _Tap(layer)
    hook = _frozen(classifier).get_submodule(layer.name).register_forward_hook(tap)
    explained = LayerGradCam(lambda images: log_odds(classifier(images), task), tap.map)
    found = []
    try:
        for start in range(0, len(pixels), _BATCH):
            images = _input(classifier, pixels[start : start + _BATCH])
            wanted = torch.as_tensor(targets[start : start + _BATCH], device=images.device)
            made = explained.attribute(images, target=wanted, relu_attributions=True)
            found.append(made[:, 0].detach().float().cpu().numpy())
    finally:
        hook.remove()
    return np.concatenate(found) if found else np.zeros((0, layer.grid, layer.grid), dtype=np.float32)


def log_odds(logits: Tensor, task: str) -> Tensor:
    """(N, K) logits to ``log(p / (1 - p))`` of each class: a label's logit; of exclusive ones, it less the rest's."""
    if task == "multilabel":
        return logits
    others = logits.unsqueeze(1).expand(-1, logits.shape[1], -1)
    itself = torch.eye(logits.shape[1], dtype=torch.bool, device=logits.device)
    return logits - others.masked_fill(itself, -torch.inf).logsumexp(dim=2)


def spread(found: Maps, size: int) -> Maps:
    """(N, size, size): each map from 0 to 1 of its own highest value, between places as cubic splines go."""
    whole = np.empty((len(found), size, size), dtype=np.float32)
    for n, one in enumerate(found):
        high = float(one.max())
        wide = cv2.resize(one / high if high > 0 else one, (size, size), interpolation=cv2.INTER_CUBIC)
        whole[n] = np.clip(wide, 0, 1)
    return whole


def overlay(pixels: Pixels, heat: Maps) -> Pixels:
    """(H, W, 3) RGB: the grey image (H, W) under ``heat`` (H, W), 0 to 1, in the colours of Turbo."""
    colours = cv2.applyColorMap(np.rint(heat * 255).astype(np.uint8), cv2.COLORMAP_TURBO)[:, :, ::-1]
    opacity = (ALPHA * heat)[:, :, None]
    mixed: Pixels = np.rint(pixels[:, :, None] * (1 - opacity) + colours * opacity).astype(np.uint8)
    return mixed


def _places(name: str, output: object, images: int) -> Layer | None:
    """How a module's output lies, by its shape: images are square, so the two equal sides are its places."""
    if not isinstance(output, Tensor) or not output.requires_grad or output.shape[0] != images:
        return None
    shape = output.shape[1:]
    if len(shape) == 3 and shape[1] == shape[2] >= _LEAST:  # noqa: PLR2004 - (C, H, W)
        return Layer(name, "NCHW", shape[1])
    if len(shape) == 3 and shape[0] == shape[1] >= _LEAST:  # noqa: PLR2004 - (H, W, C)
        return Layer(name, "NHWC", shape[0])
    if len(shape) == 2:  # noqa: PLR2004 - (places, C)
        for grid in (round(shape[0] ** 0.5), round(max(shape[0] - 1, 0) ** 0.5)):
            if grid >= _LEAST and shape[0] - grid * grid in {0, 1}:
                return Layer(name, "tokens", grid)
    return None


def _holds_all(backbone: nn.Module, layer: Layer, images: Tensor) -> bool:
    """Whether nothing of the images goes past the layer: cut there, the features depend on them no more."""
    module = backbone.get_submodule(layer.name.removeprefix("backbone."))
    hook = module.register_forward_hook(lambda _module, _inputs, output: output.detach())
    try:
        with torch.enable_grad():
            return not backbone(images).requires_grad
    finally:
        hook.remove()


def _of_places(gradient: Tensor, layer: Layer) -> Tensor:
    return gradient[:, -(layer.grid**2) :] if layer.layout == "tokens" else gradient


def _frozen(classifier: Classifier) -> Classifier:
    """So that a graph is built from the layer on, and not before it."""
    return classifier.eval().requires_grad_(requires_grad=False)


def _input(classifier: nn.Module, pixels: Pixels) -> Tensor:
    where: Any = next(classifier.parameters()).device
    return to_input(torch.from_numpy(np.ascontiguousarray(pixels)).to(where))
