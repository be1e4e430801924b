"""Files a second from DICOM to small grey images: radrepro's preprocess, pydicom as documented, and MONAI.

    python benchmarks/throughput.py [workers] [copies] [rounds]     # MONAI: where 'pip install monai itk' was run

A mixed corpus: the radiographs of benchmarks/preprocess.py, of 5 megapixels, in seven transfer syntaxes, some copies of
each. Everyone works with as many processes, over the same files, warm in the page cache, to 224 x 224 pixels. radrepro
does all that the stage does: supervised processes, hashes, results on the disk. pydicom: pixel_array, both LUTs, an
area resize. MONAI: LoadImage, ScaleIntensity, Resize (area). JPEG 2000 takes ten times what the others take, in
everyone's hands: so there is a line without it.
"""

import argparse
import importlib.util
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from pydicom import uid

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from benchmarks.preprocess import SYNTAXES, pydicom_alone, radiograph, write  # noqa: E402
from stages.executor.ordered import ordered  # noqa: E402
from stages.executor.work import Work  # noqa: E402
from stages.preprocess import chunk  # noqa: E402
from stages.preprocess.convert import Converter, Item  # noqa: E402
from stages.preprocess.params import PreprocessParams  # noqa: E402
from stages.runtime import forget  # noqa: E402

SIZE = 224


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workers", nargs="?", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("copies", nargs="?", type=int, default=8)
    parser.add_argument("rounds", nargs="?", type=int, default=3)
    workers, copies, rounds = vars(parser.parse_args()).values()
    os.environ["RADREPRO_WORKERS"] = str(workers)
    os.environ["OMP_NUM_THREADS"] = "1"
    os.chdir(tempfile.mkdtemp())
    corpus = make(copies)
    without = [entry for entry in corpus if entry[1] != uid.JPEG2000Lossless]
    print(f"| files | contender | files/s | radrepro is faster by |\n{'|---' * 4}|")
    for name, files in (("all seven syntaxes", corpus), ("without JPEG 2000", without)):
        contenders: dict[str, Callable[[], None]] = {
            "radrepro": partial(ours, files),
            "pydicom": partial(pool, workers, pydicom_one, files),
        }
        if importlib.util.find_spec("monai"):
            contenders["MONAI, its default reader (ITK)"] = partial(pool, workers, partial(monai_one, None), files)
            contenders["MONAI, PydicomReader"] = partial(pool, workers, partial(monai_one, "PydicomReader"), files)
        seconds = {contender: [] for contender in contenders}
        for _ in range(rounds):
            for contender, run in contenders.items():
                started = time.perf_counter()
                run()
                seconds[contender].append(time.perf_counter() - started)
        medians = {contender: float(np.median(taken)) for contender, taken in seconds.items()}
        for contender, taken in medians.items():
            print(f"| {name} | {contender} | {len(files) / taken:.1f} | {taken / medians['radrepro']:.2f} |")


def make(copies: int) -> list[tuple[Path, str]]:
    """Files in an order that mixes the syntaxes."""
    made = []
    for name, (syntax, encode, _) in SYNTAXES.items():
        first = Path(f"{name} 0.dcm").absolute()
        write(first, radiograph(8 if syntax == uid.JPEGBaseline8Bit else 12), syntax, encode)
        others = [first.with_name(f"{name} {number}.dcm") for number in range(1, copies)]
        for other in others:
            shutil.copy(first, other)
        made.append([(path, str(syntax)) for path in (first, *others)])
    return [entry for row in zip(*made, strict=True) for entry in row]


def ours(files: list[tuple[Path, str]]) -> None:
    section = PreprocessParams(size=SIZE)
    converter = Converter(section)
    items = [Item(number, str(path), f"{number}", syntax, 1) for number, (path, syntax) in enumerate(files)]
    work = Work(converter, converter.lost, chunk.save, chunk.load, converter.stamp, "", section.limits)
    results = list(ordered("throughput", work, items, 4))
    forget("throughput")
    assert all(isinstance(result, list) for result in results)


def pool(workers: int, one: Callable[[Path], np.ndarray], files: list[tuple[Path, str]]) -> None:
    with ProcessPoolExecutor(workers) as executor:
        images = list(executor.map(one, [path for path, _ in files], chunksize=4))
    assert len(images) == len(files)


def pydicom_one(path: Path) -> np.ndarray:
    warnings.simplefilter("ignore")
    return pydicom_alone(path, SIZE)


def monai_one(reader: str | None, path: Path) -> np.ndarray:
    from monai.transforms import Compose, LoadImage, Resize, ScaleIntensity  # noqa: PLC0415 - only where it is installed

    warnings.simplefilter("ignore")
    steps = Compose(
        [
            LoadImage(reader=reader, image_only=True, ensure_channel_first=True),
            ScaleIntensity(),
            Resize((SIZE, SIZE) if reader else (SIZE, SIZE, 1), mode="area"),  # ITK gives a volume of one slice
        ]
    )
    return np.asarray(steps(path))


if __name__ == "__main__":
    main()
