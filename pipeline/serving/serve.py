"""What MLflow runs to load a packed model: this file lies in its folder, the code that it came with in ``code/``."""

import sys
from pathlib import Path

import mlflow.models

_CODE = Path(__file__).parent / "code"  # MLflow has put it first on Python's path


def _require_own_code() -> None:
    """Refuse to answer with other code: Python does not load a second ``stages`` into a process that has one."""
    for path in _CODE.rglob("*.py"):
        name = ".".join(path.relative_to(_CODE).with_suffix("").parts).removesuffix(".__init__")
        loaded = getattr(sys.modules.get(name), "__file__", None)
        if loaded and Path(loaded).read_bytes() != path.read_bytes():
            raise RuntimeError(
                f"this process runs another {name} ({loaded}) than the model came with: load the model in a process of "
                "its own, or by 'radrepro predict' or 'mlflow models serve', which do"
            )


_require_own_code()  # of what was there before

from pipeline.serving.pyfunc import ServedModel  # noqa: E402 - found in code/

_require_own_code()  # of what a package that was there before has led to
mlflow.models.set_model(ServedModel())
