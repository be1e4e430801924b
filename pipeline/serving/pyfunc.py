"""The model as MLflow calls it: rows in, a row for every image out."""

import tempfile
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from ruamel.yaml import YAML

from pipeline.serving import columns
from pipeline.serving.decisions import Answer
from pipeline.serving.predictor import Predictor
from pipeline.serving.spec import NAME
from stages.artifacts.quarantine import Rejected


class ServedModel(PythonModel):
    """Loads from the model's own folder; see :mod:`pipeline.serving.columns` for what goes in and comes out."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the weights."""
        folder = Path(context.artifacts[NAME]).parent
        self._predictor = Predictor.load(folder)
        self._name = name(folder)
        self._paths = bool((context.model_config or {}).get(columns.PATHS))

    def predict(  # type: ignore[override]  # MLflow finds out by itself that there is no context
        self, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Ask about every row.

        Raises
        ------
        MlflowException
            That becomes HTTP 400, naming row and reason: for the first row that is refused, unless the parameter
            ``refused`` is ``report``.
        """
        report = (params or {}).get(columns.REFUSED, columns.RAISE)
        if report not in {columns.RAISE, columns.REPORT}:
            _bad(f"the parameter {columns.REFUSED} is '{columns.RAISE}' or '{columns.REPORT}'")
        rows: list[dict[str, Any]] = []
        for number, result in enumerate(self._results(model_input)):
            if isinstance(result, Rejected) and report == columns.RAISE:
                _bad(f"row {number}: {columns.told(result)}")
            rows += columns.rows(number, result, self._predictor.classes, self._predictor.spec, self._name)
        frame = pd.DataFrame(rows, columns=list(columns.outputs(self._predictor.classes)))
        for name in frame.columns[frame.isna().any()]:  # null in JSON, which knows no NaN
            frame[name] = frame[name].astype(object).where(frame[name].notna(), None)
        return frame

    def _results(self, given: pd.DataFrame) -> list[list[Answer] | Rejected]:
        stated = [name for name in columns.INPUTS if name in given and given[name].notna().any()]
        if len(stated) != 1:
            _bad(f"give one of the columns {', '.join(columns.INPUTS)}, in every row")
        values = given[stated[0]].tolist()
        if stated[0] == columns.IMAGE:
            return self._predictor.arrays([_array(value) for value in values])
        if stated[0] == columns.PATH:
            if not self._paths:  # a server must not read its own files for whoever asks
                _bad(
                    f"files are not read by their path unless the model is loaded with model_config="
                    f"{{'{columns.PATHS}': True}}: send their bytes, as {columns.DICOM}"
                )
            return list(self._predictor.files([str(value) for value in values]))
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / str(number) for number in range(len(values))]
            for path, value in zip(paths, values, strict=True):
                path.write_bytes(value if isinstance(value, bytes) else b"")
            return list(self._predictor.files([str(path) for path in paths]))


def _array(value: object) -> npt.NDArray[np.number]:
    try:
        return np.array(value)
    except ValueError:  # rows of several lengths
        return np.empty(0)


def name(folder: Path) -> str:
    """``radrepro/3``, which MLflow notes beside what it fetches from the registry; empty for a model from elsewhere."""
    noted = folder / "registered_model_meta"
    if not noted.is_file():
        return ""
    found = YAML(typ="safe", pure=True).load(noted.read_text(encoding="utf-8"))
    return f"{found['model_name']}/{found['model_version']}"


def _bad(message: str) -> NoReturn:
    raise MlflowException(message, error_code=INVALID_PARAMETER_VALUE)
