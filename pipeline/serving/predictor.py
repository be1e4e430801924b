"""A packed model, loaded: DICOM files or arrays in, an answer for every image out."""

import hashlib
import os
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from pipeline.serving.decisions import Answer, Rule
from pipeline.serving.reading import Reader
from pipeline.serving.spec import WEIGHTS, Spec
from stages import inference, networks
from stages.artifacts.cohort import Task
from stages.artifacts.quarantine import Rejected
from stages.executor import code, supervisor
from stages.executor.work import Chunk, Home, Work
from stages.preprocess import chunk, geometry
from stages.preprocess.convert import Image
from stages.reasons import Reason
from stages.runtime import UserError
from stages.settings import Settings

_TOGETHER = 16
"""Files handed to a process at a time."""

_LEVELS = 255


@dataclass(frozen=True)
class Predictor:
    """A network with what is needed to ask it. Its answers are those of ``evaluate``, on the same kind of device.

    The last digits depend on the size of a batch, so batches are of evaluate's size, filled up: no answer depends on
    what else was asked, and one image costs what a batch does.
    """

    spec: Spec
    classifier: nn.Module
    header: networks.Header
    device: torch.device

    @classmethod
    def load(cls, folder: Path) -> "Predictor":
        """From the folder that holds ``model.safetensors`` and ``serving.json``.

        Raises
        ------
        UserError
            If a file is missing or damaged, or the weights are not those that were registered.
        """
        spec = Spec.read(folder)
        classifier, header = networks.load_classifier(folder / WEIGHTS)
        with (folder / WEIGHTS).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != spec.model_sha256:
                raise UserError(f"{WEIGHTS} is not the file that was registered: fetch the model again")
        if header.image_size != spec.preprocess.size:
            raise UserError(f"the model takes images of {header.image_size} pixels, not {spec.preprocess.size}")
        device = inference.device(Settings().device)
        inference.ready(classifier, device)
        return cls(spec, classifier, header, device)

    @property
    def rule(self) -> Rule:
        """How its probabilities are read."""
        quantiles = self.spec.conformal.quantiles if self.spec.conformal else None
        return Rule(Task(self.header.task), self.classes, self.spec.thresholds, quantiles)

    @property
    def classes(self) -> tuple[str, ...]:
        """In the order of the probabilities."""
        return self.header.classes

    def files(self, paths: Sequence[str]) -> Iterator[list[Answer] | Rejected]:
        """For each file, in order, an answer for each of its images, or why there is none.

        Files are read in supervised processes: one that crashes its decoder, or hangs it, costs itself.
        """
        waiting: list[list[Image] | Rejected] = []
        for read in self._parts([paths[start : start + _TOGETHER] for start in range(0, len(paths), _TOGETHER)]):
            waiting += read
            if sum(len(result) for result in waiting if not isinstance(result, Rejected)) >= inference.BATCH_SIZE:
                yield from self._answered(waiting)
                waiting = []
        yield from self._answered(waiting)

    def arrays(self, images: Sequence[npt.NDArray[np.number]]) -> list[list[Answer] | Rejected]:
        """For each (H, W) of grey levels from 0 (black) to 255, as an image is looked at, its answer, or why not.

        Of any size. What kind of image it is cannot be checked.
        """
        ready = [self._pixels(image) for image in images]
        answers = iter(self._answers([(0, pixels) for pixels in ready if not isinstance(pixels, Rejected)]))
        return [pixels if isinstance(pixels, Rejected) else [next(answers)] for pixels in ready]

    def _pixels(self, image: npt.NDArray[np.number]) -> npt.NDArray[np.uint8] | Rejected:
        if image.ndim != 2 or not image.size:  # noqa: PLR2004 - rows, columns
            return Rejected("", Reason.UNSUPPORTED, "an array that is no image of rows and columns")
        if image.dtype.kind not in "iu" or image.min() < 0 or image.max() > _LEVELS:
            return Rejected("", Reason.UNSUPPORTED, "an array of other values than whole grey levels from 0 to 255")
        return geometry.square(image.astype(np.uint8), self.spec.preprocess.size)

    def _parts(self, parts: list[Sequence[str]]) -> Iterator[list[list[Image] | Rejected]]:
        """Each part read, in order, as many at once as there are workers."""
        if len(parts) <= 1:  # in this thread: a process that reads ends with the thread that started it, and is kept
            yield from map(self._read, parts)
            return
        workers = Settings().workers
        with ThreadPoolExecutor(workers) as threads:
            waiting = deque(threads.submit(self._read, part) for part in parts[: 2 * workers])
            for part in parts[2 * workers :]:
                yield waiting.popleft().result()
                waiting.append(threads.submit(self._read, part))
            for reading in waiting:
                yield reading.result()

    def _read(self, paths: Sequence[str]) -> list[list[Image] | Rejected]:
        reader = Reader(
            self.spec.ingest,
            self.spec.preprocess,
            tuple((kind.modality, kind.body_part) for kind in self.spec.domain),
        )
        work = Work(
            each=reader,
            lost=reader.lost,
            save=chunk.save,
            load=chunk.load,
            stamp=reader.stamp,
            parameters="",  # nothing is kept for a later run
            limits=self.spec.preprocess.limits,
        )
        absolute = [os.path.abspath(path) for path in paths]  # noqa: PTH100 - of a text that may be no path
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "images"
            supervisor.run(Chunk(work, absolute, target, Home(code.SOURCE, code.SOURCE, code.fingerprint())))
            return list(chunk.load(target))

    def _answered(self, results: Sequence[list[Image] | Rejected]) -> Iterator[list[Answer] | Rejected]:
        made = [image for result in results if not isinstance(result, Rejected) for image in result]
        answers = iter(self._answers([(image.frame, image.pixels) for image in made]))
        for result in results:
            yield result if isinstance(result, Rejected) else [next(answers) for _ in result]

    def _answers(self, images: Sequence[tuple[int, npt.NDArray[np.uint8]]]) -> list[Answer]:
        """For frame numbers and (size, size) pixels."""
        if not images:
            return []
        parts = [
            inference.forward(self.classifier, pixels, self.device)[:count]
            for pixels, count in inference.batches(_Stack(np.stack([pixels for _, pixels in images])))
        ]
        logits = torch.from_numpy(np.concatenate(parts)).double()  # as evaluate does
        probabilities = networks.probabilities(logits, self.header.task, self.header.temperature).numpy()
        return [
            Answer(frame, tuple(row.tolist()), self.rule.decide(row))
            for (frame, _), row in zip(images, probabilities, strict=True)
        ]


@dataclass(frozen=True)
class _Stack:
    """Images as :mod:`stages.inference` takes them."""

    images: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.images)

    def fetch(self, indices: npt.ArrayLike) -> npt.NDArray[np.uint8]:
        """(n, H, W) of these."""
        wanted = np.asarray(indices, np.intp)
        return np.take(self.images, wanted, axis=0)
