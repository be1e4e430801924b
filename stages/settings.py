"""Where it runs: the environment, never params.yaml. Nothing here may change a result.

Set by variables named ``RADREPRO_<NAME>``, for example ``RADREPRO_WORKERS=8``.
"""

import os
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from stages.runtime import UserError


class Settings(BaseSettings):
    """The machine's side of a run."""

    model_config = SettingsConfigDict(env_prefix="RADREPRO_", frozen=True, extra="ignore")

    workers: int = Field(default_factory=lambda: len(os.sched_getaffinity(0)), ge=1)
    """Worker processes of the data stages."""

    dask: str = ""
    """Address of a Dask scheduler, such as ``tcp://10.0.0.5:8786``: the data stages run on its workers, not here."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where tensors are computed; ``auto`` takes a GPU when there is one. A GPU's last bits differ from a CPU's."""

    devices: int = Field(default=1, ge=1)
    """GPUs of this machine that train one model together, or processes where there is none."""

    live: bool = True
    """Send training curves to MLflow while training runs."""

    epochs: str = ""
    """A file to which training adds each epoch as it ends: `radrepro sweep` reads it, and ends what does badly."""

    def __init__(self) -> None:
        try:
            super().__init__()
        except ValidationError as error:
            faults = "; ".join(
                f"RADREPRO_{str(item['loc'][0]).upper()}: {item['msg']} (found {item['input']!r})"
                for item in error.errors(include_url=False)
            )
            raise UserError(f"the environment variable {faults}: correct it, or unset it") from None
