"""What DVC costs by the file and by the gigabyte, and from that what 400,000 radiographs of 12.5 MB cost, on paper.

    python benchmarks/dvc_scale.py [--files 2000] [--many 20000] [--preprocess 0.050] [--disk 500 3000]

The first table is measured here, in a folder for temporary files that needs 10 GB; the second is reckoned from it. The
files lie in the page cache when DVC reads them: what a disk adds is in the second table as its own row.
"""

import argparse
import hashlib
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from stages.artifacts import images, index, tables  # noqa: E402

MB, GB = 1e6, 1e9
PIPELINE = """
stages:
  ingest: {cmd: "echo 1 > index", deps: [raw], outs: [index]}
  preprocess: {cmd: "cat index > images", deps: [raw, index], outs: [images]}
"""

IMAGES, SIZE = 400_000, 12.5 * MB
CORES = (2, 16, 64)


class Cost(NamedTuple):
    """Of one command: seconds, and MiB of memory at its peak."""

    seconds: float
    mib: float


class Constants(NamedTuple):
    """What is measured."""

    add_file: float  # s
    add_gb: float  # s
    link_gb: float  # s, where the cache is linked to and not copied
    noop: float  # s, of nothing but starting
    noop_file: float  # s, of both stages that depend on a batch
    mib: float
    mib_file: float
    md5_gb: float  # s
    sha256_gb: float  # s
    index_row: float  # bytes
    image_row: float  # bytes
    listing_file: float  # bytes, of the .dir object and of what DVC remembers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--many", type=int, default=20_000)
    parser.add_argument("--preprocess", type=float, default=0.050, help="seconds to decode and convert an image")
    parser.add_argument("--disk", type=float, nargs="+", default=[500, 3000], help="MB/s that disks read and write")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["DVC_SITE_CACHE_DIR"] = str(Path(folder) / "state")
        constants = measure(given.files, given.many)
    print()
    for disk in given.disk:
        hours(constants, given.preprocess, disk * MB)
    sizes(constants)


# --- measured


def measure(files: int, many: int) -> Constants:
    print("| what | files | MB each | seconds | MiB of memory |\n|---|---|---|---|---|")
    copied, _ = scenario(files, MB, "copy")
    scenario(files // 100, 100 * MB, "copy")
    linked, _ = scenario(files, MB, "hardlink")
    few, _ = scenario(files, 1000, "copy")
    lots, kept = scenario(many, 1000, "copy")
    more = many - files
    per_file = (lots["add"].seconds - few["add"].seconds) / more
    size = files * MB / GB
    constants = Constants(
        add_file=per_file,
        add_gb=(copied["add"].seconds - few["add"].seconds) / size,
        link_gb=(linked["add"].seconds - few["add"].seconds) / size,
        noop=few["repro, nothing changed"].seconds
        - files * (lots["repro, nothing changed"].seconds - few["repro, nothing changed"].seconds) / more,
        noop_file=(lots["repro, nothing changed"].seconds - few["repro, nothing changed"].seconds) / more,
        mib=few["add"].mib,
        mib_file=(lots["add"].mib - few["add"].mib) / more,
        md5_gb=hashing("md5"),
        sha256_gb=hashing("sha256"),
        index_row=row_bytes(index.SCHEMA),
        image_row=row_bytes(images.SCHEMA),
        listing_file=kept / many,
    )
    print("\n| constant | value |\n|---|---|")
    for name, value, unit in (
        ("`dvc add`, per file", constants.add_file * 1e3, "ms"),
        ("`dvc add`, per GB, copied to the cache", constants.add_gb, "s"),
        ("`dvc add`, per GB, `cache.type hardlink`", constants.link_gb, "s"),
        ("MD5, per GB, one core", constants.md5_gb, "s"),
        ("SHA-256, per GB, one core", constants.sha256_gb, "s"),
        ("`dvc repro` where nothing changed, at least", constants.noop, "s"),
        ("`dvc repro` where nothing changed, per file of data/raw", constants.noop_file * 1e3, "ms"),
        ("memory of `dvc add`, at least", constants.mib, "MiB"),
        ("memory of `dvc add`, per file", constants.mib_file * 1024, "KiB"),
        ("what DVC writes of a file (listing and state), per file", constants.listing_file, "bytes"),
        ("index, per file", constants.index_row, "bytes"),
        ("rows.parquet, per image", constants.image_row, "bytes"),
        *((f"pixels.npy, per image at size {size}", size * size, "bytes") for size in (224, 512)),
    ):
        print(f"| {name} | {float(f'{value:.3g}'):,g} {unit} |")
    return constants


def scenario(count: int, size: float, link: str) -> tuple[dict[str, Cost], int]:
    """Every command on a project of ``count`` files, 100 in a folder; and how many bytes DVC keeps of them."""
    project = Path(tempfile.mkdtemp(dir="."))
    top = Path.cwd()
    os.chdir(project)
    try:
        run("git", "init", "--quiet")
        run("dvc", "init", "--quiet")
        run("dvc", "config", "cache.type", link)
        run("dvc", "config", "core.analytics", "false")
        block = np.random.default_rng(1).bytes(int(size))
        for number in range(count):
            path = Path("raw") / f"{number // 100:04d}" / f"IM{number:06d}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(number.to_bytes(8, "little") + block[8:])
        Path("dvc.yaml").write_text(PIPELINE)
        costs = {"add": run("dvc", "add", "--quiet", "raw")}
        run("dvc", "repro", "--quiet")
        costs["status"] = run("dvc", "status", "--quiet", times=3)
        costs["repro, nothing changed"] = run("dvc", "repro", "--quiet", times=3)
        one = next(path for path in sorted(Path("raw").rglob("*")) if path.is_file())
        one.unlink()  # linked to the cache: a new file, not a new content
        one.write_bytes(b"changed" + block[7:])
        costs["commit, one file changed"] = run("dvc", "commit", "--quiet", "--force", "raw.dvc")
        for name, cost in costs.items():
            how = ", hardlink" if link == "hardlink" else ""
            print(f"| dvc {name}{how} | {count:,} | {size / MB:g} | {cost.seconds:.2f} | {cost.mib:.0f} |", flush=True)
        listing = max(path.stat().st_size for path in Path(".dvc/cache").rglob("*.dir"))
        state = sum(path.stat().st_size for path in Path(os.environ["DVC_SITE_CACHE_DIR"]).rglob("*.db"))
        return costs, listing + state
    finally:
        os.chdir(top)
        shutil.rmtree(project)
        shutil.rmtree(os.environ["DVC_SITE_CACHE_DIR"], ignore_errors=True)


def run(*command: str, times: int = 1) -> Cost:
    """The quickest of so many runs."""
    return min(run_once(*command) for _ in range(times))


def run_once(*command: str) -> Cost:
    started, peak = time.perf_counter(), 0.0
    process = subprocess.Popen(command)
    while process.poll() is None:  # the kernel's own figure for a child starts at its parent's size
        status = Path(f"/proc/{process.pid}/status").read_text()
        if found := re.search(r"VmHWM:\s+(\d+)", status):
            peak = int(found[1]) / 1024
        time.sleep(0.01)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed")
    return Cost(time.perf_counter() - started, peak)


def hashing(name: str) -> float:
    content = bytes(int(500 * MB))
    started = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    hashlib.new(name, content).hexdigest()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_utime - started) / len(content) * GB


def row_bytes(schema: pa.Schema, rows: int = 50_000) -> float:
    """Of a parquet table of this schema: hashes are random, words few, numbers of few values."""
    rng = np.random.default_rng(2)
    hashes = {"instance": 16, "series": 16, "study": 16, "patient": 16, "file": 16, "sha256": 32, "image": 16}
    hashes |= {"pixel_sha256": 32, "perceptual_hash": 32}

    def column(field: pa.Field) -> object:
        if field.name in hashes:
            return [rng.bytes(hashes[field.name]).hex() for _ in range(rows)]
        if pa.types.is_string(field.type):
            return rng.choice(["one word", "another"], rows)
        if pa.types.is_floating(field.type):
            return rng.random(rows, np.float32)
        return np.arange(rows) if field.name == "row" else rng.integers(0, 2000, rows).astype(np.int32)

    frame = pd.DataFrame({field.name: column(field) for field in schema})
    path = Path("table.parquet")
    tables.write(path, frame, schema)
    return path.stat().st_size / rows


# --- reckoned


def hours(found: Constants, preprocess: float, disk: float) -> None:
    """Hours for all images; each step takes the longer of its work and the disk's.

    DVC hashes the files of one folder in up to four threads, but a folder's only file in one: here, all in one.
    """
    total = IMAGES * SIZE / GB
    read = total * GB / disk
    print(f"{IMAGES:,} files of {SIZE / MB:g} MB: {total:,.0f} GB; the disk at {disk / MB:.0f} MB/s reads them")
    print(f"in {read / 3600:.1f} h; {preprocess * 1e3:.0f} ms of preprocess for each\n")
    print(f"| hours, on | {' | '.join(f'{cores} cores' for cores in CORES)} |\n|---|{'---|' * len(CORES)}")
    scan = total * found.sha256_gb + IMAGES * 0.001
    rows: list[tuple[str, list[float]]] = [
        ("`add-batch`: scan", [max(scan / cores, read) for cores in CORES]),
        ("`add-batch`: copy to data/raw", [2 * read] * len(CORES)),
        (
            "`dvc add`, linked",
            [max(IMAGES * found.add_file + total * found.link_gb, read)] * len(CORES),
        ),
        ("ingest", [max(scan / cores, read) for cores in CORES]),
        ("preprocess", [max(IMAGES * preprocess / cores, read) for cores in CORES]),
    ]
    for name, seconds in [*rows, ("**all**", [sum(column) for column in zip(*(row[1] for row in rows), strict=True)])]:
        print(f"| {name} | {' | '.join(f'{value / 3600:.1f}' for value in seconds)} |")
    print()


def sizes(found: Constants) -> None:
    """What batches of several sizes ask of DVC, and how large the outputs are."""
    print("| files in a batch | batches | `dvc add` of one | memory of DVC | `dvc repro` of all, nothing changed |")
    print("|---|---|---|---|---|")
    for files in (2_000, 10_000, 20_000, 50_000, IMAGES):
        added = files * found.add_file + files * SIZE / GB * found.link_gb
        print(
            f"| {files:,} | {IMAGES // files} | {added / 60:.1f} min | {found.mib + files * found.mib_file:,.0f} MiB | "
            f"{found.noop + IMAGES * found.noop_file:.0f} s |"
        )
    print("\n| output | size |\n|---|---|")
    for name, size in (
        ("index, all batches", IMAGES * found.index_row),
        ("rows.parquet, all batches", IMAGES * found.image_row),
        *((f"pixels.npy at size {size}, all batches", IMAGES * size * size) for size in (224, 512)),
        ("what DVC writes of the files", IMAGES * found.listing_file),
    ):
        print(f"| {name} | {size / GB:.2f} GB |")


if __name__ == "__main__":
    main()
