"""Seconds until a classifier reaches an AUROC on val: radrepro's finetune, a torchvision script, and a MONAI script.

    python benchmarks/time_to_auroc.py <a built project> [--level 0.8 0.9] [--monai-python <interpreter with MONAI>]

Everyone trains the same network from the same weights on the same images (those of data/cohort.parquet, as preprocess
made them) with the same batch size, epochs, optimiser, peak learning rate and threads, warmed up for an epoch and then
along a cosine. radrepro is `python -m stages.finetune`, the others are the files in benchmarks/others, as their
documents advise. They read PNG files, which are written beforehand: that is not counted, nor is the decoding of DICOM.
"Helped" are they with what radrepro does by itself: BatchNorm's momentum raised to 0.1 (MobileNetV3 comes with 0.01,
and after a few hundred batches val is judged by the statistics of the start), and for torchvision crops of at least 0.8
of a chest.

The clock starts with the process and reads each line that tells an epoch's AUROC: imports and caches count. The
contenders take turns. The seconds of an epoch are those from one line to the next, val included. Memory is what the
process and its workers hold together (proportional set sizes), looked at twice a second. Everyone's OpenMP threads wait
passively: where they spin, those who compute beside worker processes would be slowed down by that alone.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

# ruff: noqa: E402 - imports after the path
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
import stages  # noqa: F401 - first: how OpenMP's threads wait is settled before torch loads  # isort: skip
import numpy as np
import psutil
import torch
import yaml
from PIL import Image

from stages import networks
from stages.artifacts.cohort import Cohort, Subset
from stages.loading import Images

OTHERS = ROOT / "benchmarks" / "others"
EPOCH = re.compile(r"epoch (\d+)\b.*val AUROC (\d\.\d+)")
RECIPE = "timed"
NORM_MOMENTUM = 0.1
NEVER = float("inf")


@dataclass
class Course:
    """What one run told: seconds since its start and AUROC, epoch by epoch; and its largest memory."""

    seconds: list[float] = field(default_factory=list)
    auroc: list[float] = field(default_factory=list)
    peak: float = 0.0  # MiB

    def until(self, level: float) -> float:
        return next((s for s, found in zip(self.seconds, self.auroc, strict=True) if found >= level), NEVER)

    def epochs_until(self, level: float) -> float:
        return next((n for n, found in enumerate(self.auroc, 1) if found >= level), NEVER)

    def epoch(self) -> float:
        return statistics.median(np.diff(self.seconds))


def main() -> None:
    options = arguments()
    work = Path(tempfile.mkdtemp(prefix="time-to-auroc-"))
    try:
        compete(options, work)
    finally:
        shutil.rmtree(work)


def compete(options: argparse.Namespace, work: Path) -> None:
    architecture, size, counts = prepare(options, work)
    shared = [f"--architecture={architecture}", f"--epochs={options.epochs}", f"--batch-size={options.batch_size}"]
    shared += [f"--optimizer={options.optimizer}", f"--lr={options.lr}", f"--threads={options.threads}"]
    given = [str(work / "png"), str(work / "start.pth"), *shared]
    script = [sys.executable, str(OTHERS / "torchvision_script.py"), *given]
    contenders = {
        "radrepro": [sys.executable, "-m", "stages.finetune", RECIPE],
        "torchvision's script": script,
        "torchvision's script, helped": [*script, f"--norm-momentum={NORM_MOMENTUM}", "--least-crop=0.8"],
    }
    if options.monai_python:
        monai = [options.monai_python, str(OTHERS / "monai_script.py"), *given, f"--loader={options.monai_loader}"]
        contenders["MONAI with CacheDataset"] = monai
        contenders["MONAI with CacheDataset, helped"] = [*monai, f"--norm-momentum={NORM_MOMENTUM}"]
    print(
        f"{architecture} of '{'random' if options.architecture else options.weights}', {size} px, "
        f"{counts[Subset.TRAIN]} images to train and {counts[Subset.VAL]} to judge, {options.epochs} epochs of "
        f"{options.optimizer}, lr {options.lr}, batches of {options.batch_size}, {options.threads} threads, "
        f"{options.rounds} rounds",
        flush=True,
    )
    courses: dict[str, list[Course]] = {name: [] for name in contenders}
    for seed in range(1, options.rounds + 1):
        for name, command in contenders.items():
            ours = name == "radrepro"
            if ours:
                write_parameters(options, work / "project", seed)
            course = run(command if ours else [*command, f"--seed={seed}"], work / "project", options.threads)
            courses[name].append(course)
            told = " ".join(f"{found:.3f}" for found in course.auroc)
            print(f"round {seed}, {name}: {course.seconds[-1]:.1f} s: {told}", file=sys.stderr, flush=True)
    for line in table(courses, options.level, counts[Subset.TRAIN]):
        print(line)


def prepare(options: argparse.Namespace, work: Path) -> tuple[str, int, dict[Subset, int]]:
    """A project of links for radrepro, PNG files and a state dict for the others."""
    home, built = work / "project", options.project.resolve()
    (home / "data").mkdir(parents=True)
    (home / "data" / "images").symlink_to(built / "data" / "images")
    (home / "data" / "cohort.parquet").symlink_to(built / "data" / "cohort.parquet")
    os.chdir(home)
    cohort = Cohort.read()
    counts = {}
    for side in (Subset.TRAIN, Subset.VAL):
        part = cohort.subset(side)
        counts[side] = len(part.frame)
        images = Images(part.frame)
        for number, label in enumerate(part.labels().argmax(axis=1)):
            folder = work / "png" / side.value / f"{label}-{cohort.classes[label]}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images.fetch([number])[0]).save(folder / f"{number:06d}.png")
    start = home / "weights" / "start.safetensors"
    if options.architecture:
        torch.manual_seed(0)
        backbone, _ = networks.build_backbone(options.architecture, images.image_size)
        networks.save_backbone(start, backbone, networks.Header(options.architecture, "random", images.image_size))
    else:
        start.parent.mkdir()
        shutil.copy(built / "weights" / f"{options.weights}.safetensors", start)
    backbone, _, header = networks.load_backbone(start, images.image_size)
    torch.save(backbone.state_dict(), work / "start.pth")
    return header.architecture, images.image_size, counts


def write_parameters(options: argparse.Namespace, home: Path, seed: int) -> None:
    """The given project's, with one recipe: the one place that knows how a recipe is written."""
    parameters = yaml.safe_load((options.project / "params.yaml").read_text())
    parameters["seed"] = seed
    parameters["recipes"] = {
        RECIPE: {
            "strategy": "full",
            "weights": "start",
            "epochs": options.epochs,
            "batch_size": options.batch_size,
            "optimizer": options.optimizer,
            "lr": options.lr,
            "threads": options.threads,
            "patience": options.epochs,  # the others do not stop early
        }
    }
    (home / "params.yaml").write_text(yaml.safe_dump(parameters))


def run(command: list[str], home: Path, threads: int) -> Course:
    """One contender from start to end, its lines timed as they come."""
    shutil.rmtree(home / "models", ignore_errors=True)
    shutil.rmtree(home / ".radrepro", ignore_errors=True)
    environment = {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "RADREPRO_LIVE": "false",
    }
    if "stages.finetune" in command:
        environment["PYTHONPATH"] = str(ROOT)
    course, told = Course(), []
    started = time.perf_counter()
    with subprocess.Popen(
        command, cwd=home, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        over = threading.Event()
        watch = threading.Thread(target=watch_memory, args=(process.pid, over, course))
        watch.start()
        try:
            for line in process.stdout or ():
                told.append(line)
                if found := EPOCH.search(line):
                    course.seconds.append(time.perf_counter() - started)
                    course.auroc.append(float(found[2]))
        finally:
            over.set()
            watch.join()
            if sys.exc_info()[0]:
                process.kill()
    if process.returncode or not course.seconds:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{''.join(told[-30:])}")
    return course


def watch_memory(pid: int, over: threading.Event, course: Course) -> None:
    while not over.wait(0.5):
        total = 0
        try:
            process = psutil.Process(pid)
            everyone = [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        for one in everyone:
            try:
                total += one.memory_full_info().pss
            except psutil.Error:  # a worker that ended meanwhile holds nothing
                continue
        course.peak = max(course.peak, total / 2**20)


def table(courses: dict[str, list[Course]], levels: list[float], images: int) -> list[str]:
    """A row per contender: medians over the rounds, with the least and the most; ratios of medians."""
    names = [f"seconds to {level:g} (epochs)" for level in levels]
    heads = ["contender", *names, "s an epoch", "images/s", "last AUROC", "memory, MiB"]
    ratios = [*(f"x to {level:g}" for level in levels), "x an epoch"]
    lines = [f"| {' | '.join([*heads, *ratios])} |", "|---" * (len(heads) + len(ratios)) + "|"]
    ours = courses["radrepro"]
    for name, rounds in courses.items():
        epoch = [course.epoch() for course in rounds]
        cells = [name]
        for level in levels:
            after = statistics.median(course.epochs_until(level) for course in rounds)
            told = f" ({after:g})" if after < NEVER else ""
            cells.append(spread([course.until(level) for course in rounds]) + told)
        cells.append(spread(epoch))
        cells.append(f"{images / statistics.median(epoch):.0f}")
        cells.append(spread([course.auroc[-1] for course in rounds], 3))
        cells.append(f"{statistics.median(course.peak for course in rounds):.0f}")
        cells.extend(ratio([c.until(level) for c in rounds], [c.until(level) for c in ours]) for level in levels)
        cells.append(ratio(epoch, [course.epoch() for course in ours]))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def spread(values: list[float], digits: int = 1) -> str:
    told = [f"{value:.{digits}f}" if value < NEVER else "never" for value in (statistics.median(values), *values)]
    least, most = (told[1 + values.index(end)] for end in (min(values), max(values)))
    return f"{told[0]} [{least}, {most}]"


def ratio(theirs: list[float], ours: list[float]) -> str:
    """How many times radrepro's; nothing where someone did not get there in most rounds."""
    mine, other = statistics.median(ours), statistics.median(theirs)
    return f"{other / mine:.2f}" if max(mine, other) < NEVER else "-"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("project", type=Path, help="a built project: data/cohort.parquet, data/images, weights")
    parser.add_argument("--level", type=float, nargs="+", default=[0.8, 0.9])
    parser.add_argument("--weights", default="starter", help="the project's weights/<name>.safetensors")
    parser.add_argument("--architecture", help="start from random weights of this one instead")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--optimizer", choices=("sgd", "adamw"), default="adamw")
    parser.add_argument("--lr", type=float, default=0.002)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--monai-python", help="an interpreter with MONAI, torch, torchvision; else no MONAI")
    parser.add_argument("--monai-loader", choices=("threads", "processes"), default="threads")
    return parser.parse_args()


if __name__ == "__main__":
    main()
