"""Peak memory of ingest and preprocess for 500 files, and for 5,000: of the stage's process, and of its largest child.

    python benchmarks/memory.py [few] [many] [workers]

The files are radiographs of 512 x 512 pixels, 12 bit, JPEG-LS. At a ratio of 1 memory does not grow with their number.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from pydicom.uid import JPEGLSLossless

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from tests.dicom_files import make_dicom  # noqa: E402

PARAMETERS = "ingest: {key_file: secret.key}\npreprocess: {size: 224}\n"
MEASURED = """
import resource, sys, runpy
sys.argv = [sys.argv[1], sys.argv[2]]
try:
    runpy.run_module(sys.argv[0], run_name="__main__")
finally:
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        print(resource.getrusage(who).ru_maxrss)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("few", nargs="?", type=int, default=500)
    parser.add_argument("many", nargs="?", type=int, default=5000)
    parser.add_argument("workers", nargs="?", type=int, default=len(os.sched_getaffinity(0)))
    few, many, workers = vars(parser.parse_args()).values()
    os.chdir(tempfile.mkdtemp())
    Path("params.yaml").write_text(PARAMETERS)
    Path("secret.key").write_text("s" * 64)
    peaks = {count: measure(count, workers) for count in (few, many)}
    print(f"| stage | process | {few} files, MiB | {many} files, MiB | ratio |\n|---|---|---|---|---|")
    for stage in peaks[few]:
        for which, process in enumerate(("the stage's", "its largest worker")):
            less, more = peaks[few][stage][which], peaks[many][stage][which]
            print(f"| {stage} | {process} | {less:.0f} | {more:.0f} | {more / less:.2f} |")


def measure(count: int, workers: int) -> dict[str, tuple[float, float]]:
    """MiB of each stage's process and of its largest child."""
    make(Path("data/raw") / str(count), count)
    peaks = {}
    for stage in ("ingest", "preprocess"):
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, f"stages.{stage}", str(count)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "RADREPRO_WORKERS": str(workers)},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        own, child = (int(line) / 1024 for line in done.stdout.split())
        peaks[stage] = (own, child)
    return peaks


def make(folder: Path, count: int) -> None:
    """As many files of one image: only their identifiers differ, which are of one length."""
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[0:512, 0:512] / 512
    pixels = 3000 * np.exp(-6 * ((rows - 0.5) ** 2 + (columns - 0.5) ** 2)) + rng.normal(0, 8, rows.shape) + 400
    folder.mkdir(parents=True)
    first = folder / "first"
    made = make_dicom(first, pixels.astype(np.uint16), transfer_syntax=JPEGLSLossless, BitsStored=12)
    content = first.read_bytes()
    first.unlink()
    for number in range(count):
        changed = content
        for uid in (made.SOPInstanceUID, made.StudyInstanceUID):
            changed = changed.replace(uid.encode(), re.sub(r"\d{6}$", f"{number + 100000:06d}", uid).encode())
        (folder / f"IM{number:06d}").write_bytes(changed)


if __name__ == "__main__":
    main()
