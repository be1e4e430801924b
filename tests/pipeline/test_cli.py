"""The command `radrepro` from outside: what it prints, where, and how it exits."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.conftest import run

COMMANDS = ["run", "results", "add-batch", "tidy", "check", "track", "quarantine", "find", "times", "ui", "sweep"]


def radrepro(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["radrepro", *arguments], capture_output=True, text=True, check=False)


def refused(*arguments: str) -> str:
    """The one line on stderr of a command that must fail."""
    done = radrepro(*arguments)
    assert done.returncode == 1
    assert not done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("radrepro: error: ")
    return line.removeprefix("radrepro: error: ")


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


# --- help


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["ui", "--help"]])
def test_help_imports_nothing_heavy(fresh: Path, arguments: list[str]) -> None:
    program = (
        "import sys; from pipeline import cli; sys.argv = ['radrepro', *sys.argv[1:]]\n"
        "try: cli.main()\n"
        "finally: print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    assert "Usage: radrepro" in done.stdout
    assert "pipeline" in done.stderr.split()
    assert {"torch", "mlflow", "prefect", "dvc", "pandas", "sklearn", "numpy"}.isdisjoint(done.stderr.split())


def test_help_names_every_command(fresh: Path) -> None:
    said = radrepro("--help").stdout
    for command in COMMANDS:
        assert f"\n  {command} " in said


def test_help_of_all_works_outside_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert radrepro("--help").returncode == 0


# --- mistakes


@pytest.mark.parametrize("command", ["run", "results", "tidy", "check", "track", "quarantine", "times", "ui"])
def test_elsewhere_than_at_the_top_every_command_says_so(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir("stages")
    assert refused(command) == "dvc.yaml is not here: change to the top of the repository"
    assert not Path(".radrepro").exists()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["times"], "nothing ran here yet: run 'dvc repro'"),
        (["results"], "reports/comparison.json is not here: run 'dvc repro'"),
        (["quarantine"], "batch 'site-a' has no quarantine yet: run 'dvc repro', or correct its name"),
    ],
)
def test_before_a_first_run_the_commands_say_to_run(fresh: Path, command: list[str], said: str) -> None:
    assert refused(*command) == said


def test_a_batch_that_is_not_there_is_one_line(project: Path) -> None:
    assert "batch 'site-z' has no quarantine yet" in refused("quarantine", "site-z")


def test_add_batch_tells_a_mistake_in_one_line_and_changes_nothing(project: Path) -> None:
    run("git", "add", "--all")
    before = run("git", "status", "--porcelain")
    Path("labels.csv").write_text("SOPInstanceUID,label\n")
    said = refused("add-batch", "site-c", "nowhere", "--labels", "labels.csv")
    assert said
    Path("labels.csv").unlink()
    assert run("git", "status", "--porcelain") == before


@pytest.mark.parametrize("damage", ["recipes: [", "recipes\n", ""])
@pytest.mark.parametrize("command", ["results", "tidy", "quarantine"])
def test_a_params_yaml_that_cannot_be_read_is_one_line(project: Path, command: str, damage: str) -> None:
    Path("params.yaml").write_text(damage)
    assert "params.yaml" in refused(command)


@pytest.mark.parametrize("arguments", [["nonsense"], ["add-batch"], ["ui", "--mlflow-port", "0"]])
def test_a_misuse_shows_the_usage(project: Path, arguments: list[str]) -> None:
    done = radrepro(*arguments)
    assert done.returncode == 2
    assert "Usage: radrepro" in done.stderr
    assert "Traceback" not in done.stderr


# --- results


def test_results_compare_the_recipes_and_say_where_the_report_is(project: Path) -> None:
    done = radrepro("results")
    assert done.returncode == 0, done.stderr
    header, _, *rows = done.stdout.splitlines()
    assert _cells(header)[:3] == ["recipe", "AUROC val", "AUROC test"]
    assert _cells(rows[0])[:3] == ["linear_probe", "0.730", "0.720 (0.670 to 0.760)"]
    assert _cells(rows[1])[:3] == ["fine_tune", "0.870", "0.860 (0.810 to 0.900)"]
    assert f"report   {(project / 'reports/comparison.html').as_uri()}" in rows
    said = "40 files: 34 used (34 images), 0 duplicate, 6 quarantined (see 'radrepro quarantine')"
    assert f"data     {said}" in rows
    assert "test     has judged 2 models so far (reports/test_looks.csv)" in rows
    assert "WARNING  Image size alone tells it with AUROC 0.900 [0.850, 0.950]." in rows
    assert "**" not in done.stdout
    assert "MLflow" not in done.stdout, "nothing was tracked here"


def test_results_say_which_version_was_registered(project: Path) -> None:
    last = {"store": "mlflow.db", "path": "/#/experiments/1/runs/x", "run": "x", "version": "radrepro/3"}
    Path(".radrepro/last_run.json").write_text(json.dumps(last))
    said = radrepro("results").stdout
    assert "model    radrepro/3 in MLflow's registry (mlflow.db)" in said
    assert "\nMLflow " in said


def test_results_that_are_undefined_are_told_so(project: Path) -> None:
    path = Path("reports/recipes/fine_tune/evaluation.json")
    judged = json.loads(path.read_text())
    judged["test"]["auroc"] = {"value": None, "low": None, "high": None}
    path.write_text(json.dumps(judged))
    row = next(line for line in radrepro("results").stdout.splitlines() if line.startswith("fine_tune"))
    assert _cells(row)[2] == "undefined"


# --- times


def test_times_have_a_row_per_stage_that_ran(project: Path) -> None:
    header, _, *rows = radrepro("times").stdout.splitlines()
    assert _cells(header) == ["stage", "seconds", "peak MiB"]
    found = {cells[0]: cells[1:] for cells in map(_cells, rows)}
    assert {"check", "ingest@site-a", "finetune@fine_tune", "compare"} <= set(found)
    kept = json.loads(Path(".radrepro/records/compare.json").read_text())
    assert found["compare"] == [f"{kept['seconds']:.1f}", f"{kept['peak_mib']:.0f}"]


# --- quarantine


def test_quarantine_counts_by_reason_and_says_what_to_do(project: Path) -> None:
    done = radrepro("quarantine")
    header, _, *rows = done.stdout.splitlines()
    assert _cells(header) == ["batch", "stage", "reason", "files", "what to do"]
    counted = [_cells(row)[:4] for row in rows]
    assert counted == [
        [batch, stage, reason, "1"]
        for batch in ("site-a", "site-b")
        for stage, reason in (("ingest", "NOT_DICOM"), ("ingest", "TRUNCATED"), ("preprocess", "DECODE_FAILED"))
    ]
    assert all(_cells(row)[4] for row in rows)
    assert "Doe" not in done.stdout, "a path can hold a name"


def test_quarantine_of_one_batch_is_of_that_batch(project: Path) -> None:
    rows = radrepro("quarantine", "site-b").stdout.splitlines()[2:]
    assert len(rows) == 3
    assert {_cells(row)[0] for row in rows} == {"site-b"}


def test_quarantine_with_paths_is_a_table_of_every_file_for_its_owner(project: Path) -> None:
    found = list(csv.DictReader(radrepro("quarantine", "--paths").stdout.splitlines()))
    assert list(found[0]) == ["batch", "stage", "reason", "detail", "path"]
    by_reason = {(row["batch"], row["reason"]): row for row in found}
    assert len(found) == len(by_reason) == 6
    assert by_reason["site-a", "NOT_DICOM"]["path"] == "Doe^Jane/000.dcm"
    assert by_reason["site-b", "TRUNCATED"]["path"] == "001.dcm"
    assert by_reason["site-b", "TRUNCATED"]["detail"] == "3 of 9 bytes"


def test_without_rejected_files_quarantine_says_so(project: Path) -> None:
    for table in (*Path("data/quarantine").glob("*.csv"), *Path("data/images").glob("*/quarantine.csv")):
        header = table.read_text().splitlines()[0]
        table.chmod(0o644)
        table.write_text(header + "\n")
    for arguments in ([], ["--paths"]):
        assert radrepro("quarantine", *arguments).stdout == "every file was accepted\n"


# --- check and tidy


def test_check_passes_on_what_the_real_check_says(project: Path) -> None:
    """The small project has no key."""
    done = radrepro("check")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("check: error: the key file: ")
    assert not done.stdout


def test_check_of_the_shipped_params_yaml_is_content(project: Path) -> None:
    top = Path(__file__).parents[2]
    shutil.copy(top / "params.yaml", "params.yaml")
    shutil.copy(top / "card.yaml", "card.yaml")
    Path("stages/phantom").mkdir()
    shutil.copy(top / "stages/phantom/demo.key", "stages/phantom/demo.key")
    for folder in ("models", "reports/cards", "reports/recipes"):  # of the small project's recipes
        shutil.rmtree(folder)
    done = radrepro("check")
    assert (done.returncode, done.stdout) == (0, "params.yaml is sound, and what it names is there\n"), done.stderr


def test_tidy_removes_what_params_yaml_no_longer_names_and_nothing_else(project: Path) -> None:
    given = Path("params.yaml").read_text()
    Path("params.yaml").write_text(given.replace("batches: [site-a, site-b]", "batches: [site-a]"))
    said = radrepro("tidy").stdout
    gone = {
        "data/images/site-b",
        "data/index/site-b.parquet",
        "data/quarantine/site-b.csv",
        "data/restricted/site-b.csv",
    }
    assert set(said.strip().partition(": ")[2].split(", ")) == gone
    assert not [path for path in gone if Path(path).exists()]
    assert not [path for path in gone if not Path(path.replace("site-b", "site-a")).exists()]
    assert radrepro("tidy").stdout.startswith("nothing to tidy")


# --- track


def test_track_passes_on_how_it_went(project: Path) -> None:
    """`track` once more is DVC's own command: here it fails, for what it should log was changed."""
    Path("models/fine_tune/training.json").chmod(0o644)
    Path("models/fine_tune/training.json").write_text("{}")
    done = radrepro("track")
    assert done.returncode != 0
    assert "track: error: models/fine_tune/training.json is not what dvc.lock records" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
