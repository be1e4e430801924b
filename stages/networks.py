"""Torchvision classifiers without their last layer, for grey images; and how their weights lie on disk.

One rule serves every family (VGG, ResNet, MobileNet, DenseNet, EfficientNet, ConvNeXt, RegNet, ViT, Swin...): the last
linear layer goes, and the first convolution takes one channel. Weights are safetensors with a :class:`Header` that says
how to use them; nothing is ever unpickled.
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torchvision
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings

from stages import blocks
from stages.runtime import UserError, atomic_file

MEAN, STD = 0.449, 0.226
"""Of grey levels from 0 to 1: ImageNet's published statistics averaged over its three channels."""

WEIGHTS_FORMAT = "radrepro-weights-1"
MODEL_FORMAT = "radrepro-model-1"

_PUBLISHED_LEVELS = {"googlenet": (-1.0, 1.0), "inception_v3": (-1.0, 1.0)}
"""What black and white are to those that torchvision publishes for other numbers than the rest."""

_CHANNELS = 1


@dataclass(frozen=True)
class Header:
    """What is needed to use a file of weights, and where they come from."""

    architecture: str
    source: str
    image_size: int  # pixels on each side that the weights were made for
    classes: tuple[str, ...] = ()  # of a classifier, in the order of its outputs
    task: str = ""  # of a classifier: binary, multiclass or multilabel
    recipe: str = ""  # how they were trained
    licence: str = ""
    blocks: int = 0  # of the backbone that were kept, where it was cut; 0: all
    hidden: tuple[int, ...] = ()  # of a classifier: widths of layers between the features and the last layer
    black_white: tuple[float, ...] = ()  # as the backbone saw them in training; (): as ImageNet's are normalised
    temperature: float = 1.0  # of a classifier: what its logits are divided by before they are probabilities


class Classifier(nn.Module):
    """A backbone and what is new: (N, 1, H, W) to (N, K) logits, through a linear layer or several."""

    def __init__(self, backbone: nn.Module, features: int, classes: int, hidden: Sequence[int] = ()) -> None:
        super().__init__()
        self.backbone = backbone
        self.features = features
        """That the backbone makes of an image."""
        self.head: nn.Module = nn.Linear(features, classes)
        if hidden:
            widths = [features, *hidden]
            layers = [layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.ReLU(inplace=True))]
            self.head = nn.Sequential(*layers, nn.Linear(widths[-1], classes))

    def forward(self, images: Tensor) -> Tensor:
        """Logits, (N, K)."""
        logits: Tensor = self.head(self.backbone(images))
        return logits


def architectures() -> list[str]:
    """Every architecture that :func:`build_backbone` takes."""
    names: list[str] = torchvision.models.list_models(module=torchvision.models)
    return names


def build_backbone(architecture: str, image_size: int, black_white: tuple[float, ...] = ()) -> tuple[nn.Module, int]:
    """A network from (N, 1, image_size, image_size) to (N, D) features, seeded by torch's generator, and its D.

    It takes what :func:`to_input` makes, also where its weights saw other numbers: see :attr:`Header.black_white`.
    Nothing is downloaded.

    Raises
    ------
    UserError
        If torchvision has no such classifier, or it does not take images of this size.
    """
    if architecture not in architectures():
        close = difflib.get_close_matches(architecture, architectures(), n=3) or ["resnet18", "vgg11", "vit_b_16"]
        raise UserError(f"torchvision has no classifier '{architecture}': choose another, such as {', '.join(close)}")
    options: dict[str, Any] = {}
    if architecture in _PUBLISHED_LEVELS:
        options = {"aux_logits": False, "init_weights": True}
    elif architecture.startswith("vit_"):
        options = {"image_size": image_size}
    elif architecture.startswith("maxvit"):
        options = {"input_size": (image_size, image_size)}
    try:
        network = torchvision.models.get_model(architecture, weights=None, **options)
        _remove_last_layer(network)
        _take_one_channel(network)
        if levels := black_white or _PUBLISHED_LEVELS.get(architecture):
            network.register_forward_pre_hook(_Levels(*levels))
        network.eval()
        with torch.inference_mode():
            features = network(torch.zeros(1, _CHANNELS, image_size, image_size)).shape[1]
    except (AssertionError, RuntimeError, ValueError) as error:
        said = " ".join(str(error).split())
        raise UserError(
            f"{architecture} does not take images of {image_size} pixels ({said}): change preprocess.size to a size it "
            "takes (224 always is), or choose another architecture"
        ) from None
    return network.train(), features


def to_input(pixels: Tensor) -> Tensor:
    """(N, H, W) uint8 grey levels to the (N, 1, H, W) float32 that every network here expects."""
    return pixels.unsqueeze(1).to(torch.float32, copy=True).div_(255).sub_(MEAN).div_(STD)


def probabilities(logits: Tensor, task: str, temperature: float = 1.0) -> Tensor:
    """(N, K) logits to probabilities: softmax over exclusive classes, sigmoid of each label of a multi-label task.

    Logits are divided by ``temperature`` first (:mod:`stages.learning.temperature`), which changes neither the most
    probable class of an image, nor the order of images by a label or by one of two classes. The order of images by one
    of three classes or more can change: how the others share the rest counts more or less then. In float32 a
    probability above 0.9999999 is 1, and such images are tied; give logits in float64 where their order matters.
    """
    scaled = logits / temperature
    return scaled.sigmoid() if task == "multilabel" else scaled.softmax(dim=1)


def fit_state(state: Mapping[str, Tensor], backbone: nn.Module, image_size: int) -> dict[str, Tensor]:
    """``state`` made to fit ``backbone``: float32, RGB filters summed, position embeddings of a ViT resampled.

    A convolution is linear, so a grey image through summed filters gives what the tripled image gives through the
    three, at a third of the memory traffic.
    """
    fitted = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    stem = f"{_stem(backbone)}.weight"
    if stem in fitted and fitted[stem].shape[1] != _CHANNELS:
        fitted[stem] = fitted[stem].sum(dim=1, keepdim=True)
    if isinstance(backbone, VisionTransformer) and "encoder.pos_embedding" in fitted:
        fitted = dict(interpolate_embeddings(image_size, backbone.patch_size, fitted))
    return fitted


def load_state(module: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Load ``state``, all of it and nothing else; ``what`` names it in the :class:`UserError` otherwise."""
    expected = module.state_dict()
    missing = sorted(expected.keys() - state.keys())
    unexpected = sorted(state.keys() - expected.keys())
    shapes = [
        f"{key} is {tuple(state[key].shape)}, not {tuple(expected[key].shape)}"
        for key in sorted(expected.keys() & state.keys())
        if state[key].shape != expected[key].shape
    ]
    faults = [
        f"{len(keys)} {name} ({', '.join(keys[:3])}{'...' if len(keys) > 3 else ''})"  # noqa: PLR2004 - three examples
        for name, keys in (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
        if keys
    ]
    if faults:
        raise UserError(f"{what}: tensors do not fit: {'; '.join(faults)}: is the architecture the right one?")
    expected.update(state)  # keeps the versions that its modules (MNASNet's) want to see
    module.load_state_dict(expected)


def save_backbone(path: Path, backbone: nn.Module, header: Header) -> None:
    """Write starting weights."""
    _write(path, backbone, header, WEIGHTS_FORMAT)


def load_backbone(path: Path, image_size: int | None = None) -> tuple[nn.Module, int, Header]:
    """A backbone with the weights of ``path``, its number of features, and the header.

    It takes images of ``image_size`` pixels on each side, or of the size that the weights were made for.

    Raises
    ------
    UserError
        If the file is missing, is not ours, or does not fit its architecture.
    """
    state, header = _read(path, WEIGHTS_FORMAT)
    size = image_size or header.image_size
    backbone, features = build_backbone(header.architecture, size, header.black_white)
    load_state(backbone, fit_state(state, backbone, size), str(path))
    return backbone, features, header


def save_classifier(path: Path, classifier: Classifier, header: Header) -> None:
    """Write a trained model."""
    _write(path, classifier, header, MODEL_FORMAT)


def load_classifier(path: Path) -> tuple[Classifier, Header]:
    """What :func:`save_classifier` wrote. Raises as :func:`load_backbone` does."""
    state, header = _read(path, MODEL_FORMAT)
    classifier = untrained(header)
    load_state(classifier, state, str(path))
    return classifier, header


def untrained(header: Header) -> Classifier:
    """The classifier of ``header`` as it starts, with random weights from torch's generator."""
    backbone, features = build_backbone(header.architecture, header.image_size, header.black_white)
    if header.blocks:
        features = blocks.truncate(backbone, header.blocks, header.image_size)
    return Classifier(backbone, features, len(header.classes), header.hidden)


def _remove_last_layer(network: nn.Module) -> None:
    """Put an identity where the classes were: the last linear layer, or in SqueezeNet the last convolution."""
    last = (_names(network, nn.Linear) or _names(network, nn.Conv2d))[-1]
    network.set_submodule(last, nn.Identity())


def _names(network: nn.Module, kind: type[nn.Module]) -> list[str]:
    return [name for name, module in network.named_modules() if isinstance(module, kind)]


def _stem(network: nn.Module) -> str:
    return _names(network, nn.Conv2d)[0]


def _take_one_channel(network: nn.Module) -> None:
    name = _stem(network)
    rgb = network.get_submodule(name)
    assert isinstance(rgb, nn.Conv2d)
    rgb.weight = nn.Parameter(rgb.weight.detach().sum(dim=1, keepdim=True))
    rgb.in_channels = _CHANNELS


@dataclass(frozen=True)
class _Levels:
    """Before a network: our input to what its weights take black and white for."""

    black: float
    white: float

    def __call__(self, _network: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        reach = self.white - self.black
        return (inputs[0] * (STD * reach) + (MEAN * reach + self.black),)


def _write(path: Path, module: nn.Module, header: Header, form: str) -> None:
    metadata = {
        "format": form,
        "architecture": header.architecture,
        "source": header.source,
        "image_size": str(header.image_size),
        "classes": json.dumps(header.classes),
        "task": header.task,
        "recipe": header.recipe,
        "licence": header.licence,
        "blocks": str(header.blocks),
        "hidden": json.dumps(header.hidden),
        "black_white": json.dumps(header.black_white),
        "mean": str(MEAN),
        "std": str(STD),
        "in_channels": str(_CHANNELS),
    }
    if form == MODEL_FORMAT:
        metadata["temperature"] = repr(header.temperature)  # exact
    state = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
    with atomic_file(path) as beside:
        beside.write_bytes(to_bytes(state, metadata))


def to_bytes(state: dict[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file: the same bytes for the same content, whereas safetensors itself writes metadata shuffled."""
    content = save(state, dict(metadata))
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the format wants tensors aligned
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def _read(path: Path, form: str) -> tuple[dict[str, Tensor], Header]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no mapping
    except FileNotFoundError:
        raise UserError(f"{path} is not here: run 'dvc repro', or 'dvc pull' to fetch it") from None
    except SafetensorError as error:
        raise UserError(f"{path} is not a whole safetensors file ({error}): make or fetch it again") from None
    if metadata.get("format") != form:
        found = metadata.get("format", "no format")
        raise UserError(
            f"{path} is not of format {form} (found {found}): make it again, or use weights of source 'file'"
        )
    convention = {"mean": str(MEAN), "std": str(STD), "in_channels": str(_CHANNELS)}
    for key, value in convention.items():
        if metadata.get(key) != value:
            raise UserError(f"{path} was made for {key} {metadata.get(key)}, this version uses {value}: make it again")
    header = Header(
        architecture=metadata["architecture"],
        source=metadata["source"],
        image_size=int(metadata["image_size"]),
        classes=tuple(json.loads(metadata.get("classes", "[]"))),
        task=metadata.get("task", ""),
        recipe=metadata.get("recipe", ""),
        licence=metadata.get("licence", ""),
        blocks=int(metadata.get("blocks", "0")),
        hidden=tuple(json.loads(metadata.get("hidden", "[]"))),
        black_white=tuple(json.loads(metadata.get("black_white", "[]"))),
        temperature=float(metadata.get("temperature", "1.0")),
    )
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}, header
