"""A chunk of converted files as a file: for each a line of JSON, then the pixels of its images."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from stages.artifacts.quarantine import Rejected
from stages.preprocess.convert import Image
from stages.reasons import Reason


def save(path: Path, results: Iterable[list[Image] | Rejected]) -> None:
    """Write them as they come."""
    with path.open("wb") as file:
        for result in results:
            if isinstance(result, Rejected):
                told: object = {"rejected": [result.file, result.reason.name, result.detail]}
            else:
                told = {"images": [image._replace(pixels=image.pixels.shape)._asdict() for image in result]}  # type: ignore[arg-type]
            file.write(json.dumps(told).encode() + b"\n")
            if not isinstance(result, Rejected):
                for image in result:
                    file.write(image.pixels.tobytes())


def load(path: Path) -> Iterator[list[Image] | Rejected]:
    """What :func:`save` wrote."""
    with path.open("rb") as file:
        for line in file:
            told = json.loads(line)
            if "rejected" in told:
                key, reason, detail = told["rejected"]
                yield Rejected(key, Reason[reason], detail)
            else:
                yield [Image(**columns | {"pixels": _pixels(file, columns["pixels"])}) for columns in told["images"]]


def _pixels(file: BinaryIO, shape: tuple[int, int]) -> np.ndarray:
    return np.frombuffer(file.read(shape[0] * shape[1]), np.uint8).reshape(shape)
