"""``radrepro predict``: a registered model asked about files, by the code that it came with."""

import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

from pipeline.serving import fetch
from pipeline.tracking import store
from stages.ingest import tree
from stages.runtime import UserError

Rows = list[dict[str, Any]]
"""Of one file: see :mod:`pipeline.serving.columns`."""


class Form(StrEnum):
    """How answers are given."""

    CSV = "csv"
    JSON = "json"
    SR = "dicom-sr"


def predict(model: str, paths: Sequence[Path], form: Form, to: Path | None) -> str:
    """Ask ``model`` about files and all files in folders; what there is to say of it in one line.

    A line for every image, or a DICOM file for every file: to the file or folder ``to``, or to standard output. Files
    that are refused are named with the reason, on standard error too.

    Raises
    ------
    UserError
        If the model or a file is not there, or no file is answered for.
    """
    if form is Form.SR and to is None:
        raise UserError("structured reports are files: say with --to which folder they go to")
    if to is not None and form is not Form.SR:
        _can_be_written(to)
    files = [file for path in paths for file in _files(path)]
    with tempfile.TemporaryDirectory() as name:
        with store.connected() as client:
            fetched = fetch.fetch(client, model, Path(name))
        asked = zip(files, answers(fetched, files), strict=True)
        told = _told(asked)
        match form:
            case Form.SR:
                assert to is not None
                images, refused = _reports(told, to)
            case Form.CSV | Form.JSON:
                write = _csv if form is Form.CSV else _json
                if to is None:
                    images, refused = write(told, sys.stdout)
                else:
                    with to.open("w", encoding="utf-8", newline="") as file:
                        images, refused = write(told, file)
    if not images:
        raise UserError(f"{fetched.label} has no answer: every file was refused, for the reasons above")
    return f"{fetched.label}: {images} images of {len(files) - refused} files, {refused} files refused"


def answers(fetched: fetch.Fetched, files: Sequence[str]) -> Iterator[Rows]:
    """The rows of each file, in order, as they come.

    Raises
    ------
    UserError
        If the model cannot be loaded.
    """
    # -P, and its folder first: the model's own code runs, whatever the code here has become
    command = [sys.executable, "-P", "-m", "pipeline.serving.worker", str(fetched.folder), fetched.label]
    environment = {**os.environ, "PYTHONPATH": str(fetched.folder / "code")}
    with tempfile.TemporaryFile("w+") as errors, tempfile.TemporaryFile("w+") as asked:
        json.dump([os.path.abspath(path) for path in files], asked)  # noqa: PTH100 - of a text that may be no path
        asked.seek(0)
        with subprocess.Popen(
            command, stdin=asked, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
        ) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    yield json.loads(line)
            except BaseException:
                process.kill()
                raise
        if process.returncode != 0:
            errors.seek(0)
            said = errors.read().strip().splitlines() or [f"it ended with status {process.returncode}"]
            raise UserError(f"{fetched.label} cannot be asked: {said[-1]}")


def _files(path: Path) -> list[str]:
    if path.is_dir():
        return [f"{path}/{name}" for name in tree.entries(path)]
    if not path.exists():
        raise UserError(f"{path}: no such file")
    return [str(path)]


def _can_be_written(to: Path) -> None:
    """Before any work. Raises :class:`UserError` if it cannot."""
    if not to.parent.is_dir():
        raise UserError(f"--to {to}: there is no folder {to.parent}: make it first")
    if to.is_dir():
        raise UserError(f"--to {to} is a folder: name a file in it")


def _told(asked: Iterator[tuple[str, Rows]]) -> Iterator[tuple[str, Rows]]:
    """As they are; refusals also go to standard error."""
    for path, rows in asked:
        for row in rows:
            if "refused" in row:
                sys.stderr.write(f"{path}: {row['refused']}\n")
        yield path, rows


def _csv(asked: Iterator[tuple[str, Rows]], file: IO[str]) -> tuple[int, int]:
    """Write it; how many images there are, and how many files without any."""
    images = refused = 0
    writer: csv.DictWriter[str] | None = None
    waiting: list[dict[str, Any]] = []  # until an answer says which classes there are
    for path, rows in asked:
        refused += any("refused" in row for row in rows)
        images += sum("refused" not in row for row in rows)
        waiting += [{"path": path, **_flat(row)} for row in rows]
        names = next((list(row) for row in waiting if "frame" in row), None)
        if writer is None and names:
            writer = csv.DictWriter(file, [*names, "refused"], lineterminator="\n")
            writer.writeheader()
        if writer:
            writer.writerows(waiting)
            waiting.clear()
    return images, refused


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: "; ".join(value) if isinstance(value, list) else value for name, value in row.items() if name != "row"
    }


def _json(asked: Iterator[tuple[str, Rows]], file: IO[str]) -> tuple[int, int]:
    """As :func:`_csv`: one list, an object for every image or refused file."""
    images = refused = 0
    separator = "[\n"
    for path, rows in asked:
        refused += any("refused" in row for row in rows)
        images += sum("refused" not in row for row in rows)
        for row in rows:
            told = {"path": path, **{name: value for name, value in row.items() if name != "row"}}
            file.write(separator + json.dumps(told, ensure_ascii=False))
            separator = ",\n"
    file.write("[]\n" if separator == "[\n" else "\n]\n")
    return images, refused


def _reports(asked: Iterator[tuple[str, Rows]], folder: Path) -> tuple[int, int]:
    """As :func:`_csv`: a structured report for every file that is answered for."""
    from pipeline.serving import structured_report  # noqa: PLC0415 - highdicom takes a second

    folder.mkdir(parents=True, exist_ok=True)
    images = refused = 0
    for path, rows in asked:
        if any("refused" in row for row in rows):
            refused += 1
            continue
        try:
            structured_report.write(path, rows, folder)
        except UserError as error:
            sys.stderr.write(f"{path}: {error}\n")
            refused += 1
            continue
        images += len(rows)
    return images, refused
