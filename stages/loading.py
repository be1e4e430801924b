"""Images of a cohort, read in whole batches from the arrays that ``preprocess`` mapped: no decoding, no copies kept."""

import mmap
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from stages.artifacts import images
from stages.artifacts.images import Pixels
from stages.runtime import UserError

T = TypeVar("T")


class Images:
    """The images of a cohort's rows, in their order.

    Parameters
    ----------
    cohort_frame
        One row per image with columns ``batch`` and ``row``, as a cohort has; at least one row.

    Raises
    ------
    UserError
        If a batch's array is missing, is shorter than the cohort says, or has another image size than the others.
    """

    def __init__(self, cohort_frame: pd.DataFrame) -> None:
        codes, names = pd.factorize(cohort_frame["batch"], sort=True)
        self._batch: npt.NDArray[np.intp] = codes
        self._row: npt.NDArray[np.int64] = cohort_frame["row"].to_numpy(dtype=np.int64)
        self._pixels = [images.pixels(str(name)) for name in names]
        sizes = {array.shape[1:] for array in self._pixels}
        if len(sizes) > 1:
            raise UserError(f"batches differ in image size {sorted(sizes)}: run 'dvc repro' to make them again")
        self.image_size: int = sizes.pop()[0]
        """Pixels on each side."""
        for code, name in enumerate(names):
            if self._row[codes == code].max() >= len(self._pixels[code]):
                raise UserError(f"'{name}' has fewer images than the cohort says: run 'dvc repro' to make it again")

    def __len__(self) -> int:
        return len(self._row)

    def fetch(self, indices: npt.ArrayLike) -> Pixels:
        """(n, H, W) grey levels of these images, in this order."""
        wanted = np.asarray(indices, dtype=np.int64)
        batch, row = self._batch[wanted], self._row[wanted]
        fetched = np.empty((len(wanted), self.image_size, self.image_size), dtype=np.uint8)
        for code in np.unique(batch):
            here = batch == code
            _announce(self._pixels[code], row[here])
            fetched[here] = self._pixels[code][row[here]]
        return fetched


def ahead(items: Iterable[T]) -> Iterator[T]:
    """``items``, each made by one background thread while the one before it is used. Errors come where they belong."""
    iterator = iter(items)
    end = object()
    with ThreadPoolExecutor(1) as thread:
        upcoming = thread.submit(next, iterator, end)
        while (item := upcoming.result()) is not end:
            upcoming = thread.submit(next, iterator, end)
            yield item  # type: ignore[misc]  # it is not the end


def _announce(pixels: Pixels, rows: npt.NDArray[np.int64]) -> None:
    """Tell the kernel which rows come next, so that it reads them at once: shuffled page faults are 40 times slower."""
    mapped = pixels._mmap if isinstance(pixels, np.memmap) else None  # type: ignore[attr-defined]  # noqa: SLF001
    if not isinstance(mapped, mmap.mmap):
        return
    size = pixels[0].nbytes
    start = len(mapped) - pixels.nbytes  # the array ends where the file does
    for row in rows.tolist():
        first = start + row * size
        page = first - first % mmap.PAGESIZE
        mapped.madvise(mmap.MADV_WILLNEED, page, first + size - page)
