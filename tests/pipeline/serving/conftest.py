"""A small network, registered in an MLflow of its own as `track` would, and DICOM files to ask it about."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from mlflow import MlflowClient
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from pipeline.serving.spec import Conformal, Kind, Spec
from pipeline.tracking import models, registry
from stages import inference, networks
from stages.artifacts import card, model
from stages.ingest.params import IngestParams
from stages.ingest.scan import Scanner
from stages.preprocess.convert import Converter, Item
from stages.preprocess.params import Most, PreprocessParams
from stages.pseudonyms import Pseudonyms
from tests.conftest import ROOT
from tests.dicom_files import chest, make_dicom

SIZE = 32
CLASSES = ("normal", "pneumonia", "effusion")
THRESHOLDS = {"normal": 0.4, "pneumonia": 0.2, "effusion": 0.3}
CONFORMAL = Conformal(method="lac", coverage=0.9, quantiles={"all": 0.8})
CHAIN = "c" * 64
INGEST = IngestParams(key_file=Path("secret.key"))
PREPROCESS = PreprocessParams(size=SIZE, frames=Most(max=3))
DOMAIN = (
    Kind(modality="DX", body_part="CHEST", images=9),
    Kind(modality="CR", body_part="CHEST", images=4),
    Kind(modality="US", body_part=None, images=1),
)
GOOD = {
    "plain": {},
    "inverted": {"PhotometricInterpretation": "MONOCHROME1", "Modality": "CR"},
    "rle": {"transfer_syntax": RLELossless},
    "jpeg_ls": {"transfer_syntax": JPEGLSLossless},
    "jpeg_2000": {"transfer_syntax": JPEG2000Lossless},
    "windowed": {"WindowCenter": 1500, "WindowWidth": 900},
    "no_preamble": {"preamble": False},
    "tall": {"pixels": chest(5, 90, 30)},
    "cine": {"pixels": np.stack([chest(seed) for seed in range(5)]), "Modality": "US", "BurnedInAnnotation": "NO"},
}


@dataclass(frozen=True)
class Registered:
    """An MLflow with one model, and what evaluate would say of the files."""

    path: Path
    """Where the database, the artifacts and the files lie."""
    spec: Spec

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.path / 'mlflow.db'}"

    @property
    def files(self) -> dict[str, Path]:
        return {name: self.path / "files" / name for name in GOOD}

    def environment(self, **more: str) -> dict[str, str]:
        """For a process that finds nothing of ours but in the registry."""
        kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "MLFLOW_REGISTRY_URI"}}
        quiet = {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        return kept | {"MLFLOW_TRACKING_URI": self.uri, "RADREPRO_DEVICE": "cpu", **quiet, **more}

    def images(self, name: str) -> npt.NDArray[np.uint8]:
        """(n, SIZE, SIZE) as the stages store them: ingest's scan, then preprocess's conversion."""
        scan = Scanner(self.path / "files", Pseudonyms(b"k" * 32), INGEST)(name)
        assert scan.kept is not None, scan
        item = Item(0, str(self.files[name]), "", str(scan.kept["transfer_syntax"]), int(str(scan.kept["frames"])))
        made = Converter(PREPROCESS)(item)
        assert isinstance(made, list), made
        return np.stack([image.pixels for image in made])

    def expected(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """(n, K) probabilities as evaluate computes them: in batches of its size."""

        class Source:
            def __len__(self) -> int:
                return len(images)

            def fetch(self, indices: npt.ArrayLike) -> npt.NDArray[np.uint8]:
                return images[np.asarray(indices)]

        classifier, header = networks.load_classifier(self.path / model.weights_path("tiny"))
        logits = inference.logits(classifier, Source(), inference.device("cpu"))
        return networks.probabilities(torch.from_numpy(logits).double(), header.task, header.temperature).numpy()


@pytest.fixture(scope="session")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Registered:
    """The model `tiny`, version 1, with the alias `champion`."""
    path = tmp_path_factory.mktemp("registered")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        for name, attributes in GOOD.items():
            make_dicom(path / "files" / name, **{"BodyPartExamined": _part(attributes), **attributes})
        torch.manual_seed(0)
        backbone, features, starter = networks.load_backbone(ROOT / "stages/weights/starter.safetensors", SIZE)
        classifier = networks.Classifier(backbone, features, len(CLASSES))
        torch.nn.init.normal_(classifier.head.weight, std=0.1)  # type: ignore[arg-type]  # probabilities that differ
        header = networks.Header(starter.architecture, "starter", SIZE, CLASSES, "multiclass", "tiny", temperature=1.75)
        networks.save_classifier(model.weights_path("tiny"), classifier, header)
        for told in (card.path("tiny"), card.markdown_path("tiny")):
            told.parent.mkdir(parents=True, exist_ok=True)
            told.write_text("what is known of it")
        sha256 = hashlib.sha256(model.weights_path("tiny").read_bytes()).hexdigest()
        spec = Spec(
            recipe="tiny",
            chain_sha256=CHAIN,
            model_sha256=sha256,
            ingest=INGEST,
            preprocess=PREPROCESS,
            domain=DOMAIN,
            thresholds=THRESHOLDS,
            conformal=CONFORMAL,
        )
        found = Registered(path, spec)
        mlflow = [sys.executable, "-m", "mlflow", "db", "upgrade", found.uri]
        subprocess.run(mlflow, check=True, capture_output=True, env=found.environment())
        client = MlflowClient(found.uri, found.uri)
        experiment = client.create_experiment("tests", (path / "artifacts").as_uri())
        run = client.create_run(experiment).info.run_id
        patch.setenv("MLFLOW_TRACKING_URI", found.uri)
        logged = models.log(client, experiment, run, "tiny", {}, spec)
        registry.register(client, "tiny", logged, run, "", {})
        client.set_registered_model_alias("tiny", "champion", "1")
    return found


@pytest.fixture
def mlflow_here(registered: Registered, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registered]:
    """That MLflow is this process's, for one test."""
    before = {name: os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")}
    os.environ["MLFLOW_TRACKING_URI"] = registered.uri
    yield registered
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


def _part(attributes: dict[str, object]) -> str | None:
    return None if attributes.get("Modality") == "US" else "CHEST"
