import json
import os
import signal
import stat
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from stages import runtime
from stages.runtime import UserError
from stages.settings import Settings
from tests.conftest import ROOT

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def python(code: str) -> subprocess.CompletedProcess[str]:
    """Another process, in the current folder."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)


def stage(body: str, name: str = "split", item: str = "") -> str:
    """The code of a stage whose main is one line."""
    return f"from stages import runtime\ndef main():\n    {body}\nruntime.run({name!r}, main, {item!r})\n"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class PowerCutError(Exception):
    pass


def fail(_: object) -> None:
    """After what was done."""
    raise PowerCutError


def test_a_file_is_replaced_when_the_block_ends(workspace: Path) -> None:
    path = Path("deep/folder/table.csv")
    for content in ("old", "new"):
        with runtime.atomic_file(path) as beside:
            assert beside.parent.samefile(path.parent), "on the same file system"
            assert beside.suffix == ".csv", "some writers choose the format by it"
            beside.write_text(content)
            assert not path.exists() or path.read_text() == "old"
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert names(path.parent) == ["table.csv"]


@pytest.mark.parametrize("before", ["old", None])
def test_a_file_is_as_it_was_when_the_block_raises(workspace: Path, before: str | None) -> None:
    path = Path("folder/table.csv")
    path.parent.mkdir()
    if before:
        path.write_text(before)
    with pytest.raises(PowerCutError), runtime.atomic_file(path) as beside:
        fail(beside.write_text("half of the n"))
    assert names(path.parent) == (["table.csv"] if before else [])
    assert not before or path.read_text() == before


def test_a_directory_is_replaced_whole_when_the_block_ends(workspace: Path) -> None:
    path = Path("deep/batch")
    for content in ("old", "new"):
        with runtime.atomic_directory(path) as beside:
            (beside / content).mkdir()
            (beside / content / "file").write_text(content)
            assert not path.exists() or names(path) == ["old"]
    assert names(path) == ["new"]
    assert (path / "new/file").read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
    assert names(path.parent) == ["batch"]


@pytest.mark.parametrize("before", [True, False])
def test_a_directory_is_as_it_was_when_the_block_raises(workspace: Path, before: bool) -> None:
    path = Path("folder/batch")
    path.parent.mkdir()
    if before:
        path.mkdir()
        (path / "old").touch()
    with pytest.raises(PowerCutError), runtime.atomic_directory(path) as beside:
        fail((beside / "new").touch())
    assert names(path.parent) == (["batch"] if before else [])
    assert not before or names(path) == ["old"]


def test_what_a_killed_writer_left_goes_with_the_next_one(workspace: Path) -> None:
    killed = (
        "import os, signal, pathlib; from stages import runtime\n"
        "with runtime.atomic_directory(pathlib.Path('images/site-a')) as beside:\n"
        "    (beside / 'pixels.npy').touch(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert python(killed).returncode == -signal.SIGKILL
    assert len(names(Path("images"))) == 1
    neighbours = ["site-a", "site-a.b", ".site-a.b.12345678", ".site-b.12345678", ".site-aX12345678", "site-a.12345678"]
    for name in neighbours:
        Path("images", name).mkdir()

    with runtime.atomic_directory(Path("images/site-a")):
        pass

    assert names(Path("images")) == sorted(neighbours), "its own leftovers only"


def test_a_name_with_wildcards_takes_no_other_with_it(workspace: Path) -> None:
    other = Path("images/.site-a.12345678")
    other.mkdir(parents=True)
    with runtime.atomic_directory(Path("images/site-[ab]")):
        pass
    assert other.is_dir()


def test_a_users_mistake_is_one_line_and_exit_1(workspace: Path) -> None:
    done = python(stage("raise runtime.UserError('two\\n  lines: mend them')"))
    assert done.returncode == 1
    assert done.stderr == "split: error: two lines: mend them\n"
    assert done.stdout == ""
    assert not Path(".radrepro/records").exists(), "what failed cost nothing that is worth remembering"


def test_a_defect_is_a_traceback(workspace: Path) -> None:
    done = python(stage("raise KeyError('patient')"))
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "KeyError" in done.stderr


def test_a_stage_that_ends_well_leaves_a_record(workspace: Path) -> None:
    done = python(stage("runtime.log.info('%d images', 3)", "ingest", "site-a"))
    assert done.returncode == 0
    assert done.stderr == "ingest@site-a: 3 images\n"
    assert python(stage("b'x' * (200 * 2**20)")).returncode == 0

    records = runtime.records()

    assert list(records) == ["ingest@site-a", "split"]
    assert records["split"]["peak_mib"] >= 200
    assert all(record["seconds"] >= 0 for record in records.values())


def test_nothing_was_run_yet(workspace: Path) -> None:
    assert runtime.records() == {}


def test_a_second_process_of_the_same_stage_is_refused_while_the_first_runs(workspace: Path) -> None:
    hold = stage("print('holds', flush=True); import sys; sys.stdin.read()")
    with subprocess.Popen(
        [sys.executable, "-c", hold], env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "holds\n"
        second = python(stage("open('written', 'w')"))
        other = python(stage("pass", "split", "site-a"))
        first.communicate()
    assert second.returncode == 1
    assert second.stderr.startswith("split: error: another process is running split")
    assert len(second.stderr.splitlines()) == 1
    assert not Path("written").exists()
    assert other.returncode == 0, "another item of the group"
    assert first.returncode == 0
    assert python(stage("pass")).returncode == 0, "after it the stage is free again"


def test_a_killed_stage_does_not_lock_the_next_one_out(workspace: Path) -> None:
    assert python(stage("import os; os.kill(os.getpid(), 9)")).returncode == -signal.SIGKILL
    assert python(stage("pass")).returncode == 0


CHILD = """
import time
from stages import runtime
def main():
    print("runs", flush=True)
    time.sleep(30)
    print("survives", flush=True)
runtime.run("split", main)
"""
PARENT = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", sys.argv[1]]).wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent ended")
def test_a_stage_ends_with_the_process_that_started_it(workspace: Path) -> None:
    """As when `dvc repro` is killed: its child must not go on to write what nobody waits for."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "runs\n"
        parent.kill()
        rest = parent.stdout.read()  # to its end, which comes when the child, who writes there too, is gone
    assert rest == ""
    assert python(stage("pass")).returncode == 0, "and its lock is free"


def test_json_is_the_same_bytes_for_the_same_content(workspace: Path) -> None:
    path = Path("reports/metrics.json")
    runtime.write_json(path, {"b": [1, 0.1], "a": {"y": None, "x": "é"}})
    first = path.read_bytes()
    runtime.write_json(path, {"a": {"x": "é", "y": None}, "b": [1, 0.1]})
    assert path.read_bytes() == first
    assert json.loads(first) == {"a": {"x": "é", "y": None}, "b": [1, 0.1]}
    assert first.endswith(b"}\n")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_that_no_other_reader_takes_is_refused(workspace: Path, value: float) -> None:
    path = Path("metrics.json")
    runtime.write_json(path, {"auroc": 0.5})
    before = path.read_bytes()
    with pytest.raises(ValueError, match="JSON compliant"):
        runtime.write_json(path, {"auroc": value})
    assert path.read_bytes() == before
    assert names(Path()) == ["metrics.json"]


def test_progress_passes_on_what_it_counts(workspace: Path) -> None:
    assert list(runtime.progress(iter("abc"), 3, "letters")) == ["a", "b", "c"]


@pytest.mark.parametrize("words", [[], ["site-a", "site-b"]])
def test_a_stage_of_a_group_takes_one_argument(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["ingest", *words])
    with pytest.raises(SystemExit, match="run 'dvc repro'"):
        runtime.argument("batch")
    monkeypatch.setattr(sys, "argv", ["ingest", "site-a"])
    assert runtime.argument("batch") == "site-a"


def test_the_stage_is_guarded_for_as_long_as_the_block_runs(workspace: Path) -> None:
    with runtime.guarded("split"):
        assert "another process" in python(stage("pass")).stderr
    with pytest.raises(UserError), runtime.guarded("split"):
        raise UserError
    assert python(stage("pass")).returncode == 0


def test_the_record_of_a_stage_names_what_it_made(workspace: Path) -> None:
    def body() -> None:
        Path("made").write_bytes(b"made")

    runtime.run("stage", body, "item", Path("made"))
    assert runtime.records()["stage@item"]["product_sha256"] == sha256(b"made").hexdigest()


def test_a_setting_of_the_machine_that_is_wrong_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADREPRO_WORKERS", "abc")
    with pytest.raises(UserError, match=r"RADREPRO_WORKERS: .*integer.*'abc'") as raised:
        Settings()
    assert "\n" not in str(raised.value)
