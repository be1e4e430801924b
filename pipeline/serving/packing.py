"""A recipe's model as a folder that needs nothing else: weights, the code that uses them, how to read its answers.

MLflow's "models from code": ``serve.py`` is run to load it, and nothing is unpickled. The code is every module of ours
that it imports, as it is now, and no other; other packages are pinned to the versions here.
"""

import ast
import base64
import hashlib
import io
import json
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import mlflow.pyfunc
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import Array
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ComputedRadiographyImageStorage, ExplicitVRLittleEndian

from pipeline.serving import columns
from pipeline.serving.spec import NAME, WEIGHTS, Spec

ENTRIES = ("pipeline.serving.serve", "pipeline.serving.worker", "stages.executor.child")
"""What runs in a packed model; all that they import goes with them."""

PACKAGES = {
    "PIL": ("pillow",),
    "cv2": ("opencv-python-headless",),
    "filelock": ("filelock",),
    "imagecodecs": ("imagecodecs",),
    "mlflow": ("mlflow",),
    "numpy": ("numpy",),
    "pandas": ("pandas",),
    "pyarrow": ("pyarrow",),
    "pydantic": ("pydantic",),
    "pydantic_settings": ("pydantic-settings",),
    "pydicom": ("pydicom", "pyjpegls", "pylibjpeg", "pylibjpeg-libjpeg", "pylibjpeg-openjpeg", "pylibjpeg-rle"),
    "ruamel": ("ruamel.yaml",),
    "safetensors": ("safetensors",),
    "torch": ("torch",),
    "torchvision": ("torchvision",),
    "tqdm": ("tqdm",),
}
"""What the packed code imports, and the distributions that bring it; with pydicom its decoders."""

_SOURCE = Path(__file__).parents[2]
_OURS = ("stages", "pipeline")
_LOADER, _CODE = "serve.py", "code"
_ADDED = (_LOADER, NAME, "requirements.txt", "python_env.yaml", "input_example.json", "serving_input_example.json")
_SIDE = 64  # pixels of the example
_COLUMN_TYPES: dict[str, DataType | Array] = {
    "string": DataType.string,
    "strings": Array(DataType.string),
    "long": DataType.long,
    "double": DataType.double,
}


def pack(folder: Path, model: Model, spec: Spec, classes: tuple[str, ...]) -> str:
    """Add to ``folder`` and to ``model``, MLflow's description of it, all that makes the weights there usable.

    Returns its :func:`digest`.
    """
    spec.write(folder)
    shutil.copyfile(Path(__file__).with_name(_LOADER), folder / _LOADER)
    for path in modules(ENTRIES):
        (folder / _CODE / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_SOURCE / path, folder / _CODE / path)
    needed = [f"{name}=={version(name)}" for names in PACKAGES.values() for name in names]
    (folder / "requirements.txt").write_text("\n".join(sorted(needed)) + "\n", encoding="utf-8")
    environment = {"python": platform.python_version(), "dependencies": ["-r requirements.txt"]}
    (folder / "python_env.yaml").write_text(json.dumps(environment) + "\n", encoding="utf-8")  # JSON is YAML

    artifacts = {name: {"path": name, "uri": name} for name in (WEIGHTS, NAME)}
    mlflow.pyfunc.add_to_model(
        model,
        loader_module="mlflow.pyfunc.loaders.code_model",
        code=_CODE,
        python_env="python_env.yaml",
        model_config={columns.PATHS: False},
        model_code_path=_LOADER,
        artifacts=artifacts,
    )
    model.signature = signature(classes)
    given = {"columns": [columns.DICOM], "data": [[base64.b64encode(example(spec)).decode()]]}
    for name, content in (("input_example.json", given), ("serving_input_example.json", {"dataframe_split": given})):
        (folder / name).write_text(json.dumps(content) + "\n", encoding="utf-8")
    model.saved_input_example_info = {
        "artifact_path": "input_example.json",
        "serving_input_path": "serving_input_example.json",
        "type": "dataframe",
        "pandas_orient": "split",
    }
    return digest(folder)


def digest(folder: Path) -> str:
    """SHA-256 over the names and contents of all that :func:`pack` added to a model's folder.

    Not over the weights, which ``serving.json`` names by their own, nor over what MLflow writes.
    """
    files = [folder / name for name in _ADDED] + list((folder / _CODE).rglob("*.py"))
    listed = sorted((path.relative_to(folder).as_posix(), _sha256(path)) for path in files)
    return hashlib.sha256("".join(f"{sha256}  {name}\n" for name, sha256 in listed).encode()).hexdigest()


def signature(classes: tuple[str, ...]) -> ModelSignature:
    """As MLflow has it; see :mod:`pipeline.serving.columns`."""
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.binary, columns.DICOM, required=False),
        ColSpec(DataType.string, columns.PATH, required=False),
        ColSpec(Array(Array(DataType.long)), columns.IMAGE, required=False),
    ]
    made: list[ColSpec | TensorSpec] = [
        ColSpec(_COLUMN_TYPES[kind], name, required=name != columns.REFUSED)
        for name, kind in columns.outputs(classes).items()
    ]
    params = [ParamSpec(columns.REFUSED, DataType.string, columns.RAISE)]
    return ModelSignature(Schema(inputs), Schema(made), ParamSchema(params))


def example(spec: Spec) -> bytes:
    """A DICOM file of the kind that training saw most of, with a gradient for an image and nobody's name in it.

    The same bytes every time.
    """
    kind = spec.domain[0]
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = ComputedRadiographyImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = UID("1.2.3")
    dataset.Modality, dataset.BodyPartExamined = kind.modality or "", kind.body_part or ""
    dataset.BurnedInAnnotation = "NO"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows = dataset.Columns = _SIDE
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = bytes(2 * (row + column) for row in range(_SIDE) for column in range(_SIDE))
    dataset["PixelData"].VR = "OB"
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def modules(entries: tuple[str, ...]) -> list[Path]:
    """The files of ours that running ``entries`` loads, sorted, as paths from the repository's top."""
    found: dict[str, Path] = {}
    todo = list(entries)
    while todo:
        name = todo.pop()
        path = _file(name)
        if name in found or path is None:
            continue
        found[name] = path
        todo += [ours for ours in imports(path) if ours.partition(".")[0] in _OURS]
        todo += [name.rpartition(".")[0]] if "." in name else []
    return sorted(found.values())


def imports(path: Path) -> Iterator[str]:
    """What a file of ours imports, wherever in it: modules, and names in them, which may be modules."""
    tree = ast.parse((_SOURCE / path).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:  # there are no relative imports here
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _file(name: str) -> Path | None:
    path = Path(*name.split("."))
    files = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in files if (_SOURCE / file).is_file()), None)
