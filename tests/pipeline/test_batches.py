"""Adding a batch is all or nothing, and says what came."""

import os
import shutil
import stat
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

from pipeline import batches
from pipeline.edit import edit
from stages import params
from stages.check.params import Params
from stages.ingest import tree
from stages.runtime import UserError
from tests.conftest import ROOT
from tests.dicom_files import chest, make_dicom
from tests.pipeline.conftest import run

COLUMNS = ["batch", "PatientID", "StudyInstanceUID", "SOPInstanceUID", "label"]


def _delivery(folder: Path, batch: str, first: int = 0, classes: tuple[str, ...] = ("sick", "normal")) -> list[dict]:
    """Six images of six patients in a folder tree without extensions; their labels."""
    rows = []
    for number in range(first, first + 6):
        made = make_dicom(folder / f"study {number}" / f"IM{number}", chest(number))
        row = {name: str(made[name].value) for name in COLUMNS[1:4]}
        rows.append({"batch": batch, **row, "label": classes[number % len(classes)]})
    return rows


@pytest.fixture
def project(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new project under git and DVC, as a clone of this repository is, with the demonstration's params.yaml."""
    (workspace / "top").mkdir()
    monkeypatch.chdir(workspace / "top")
    monkeypatch.setenv("RADREPRO_WORKERS", "1")
    for name in ("params.yaml", ".gitignore", "data/.gitignore", "stages/phantom/demo.key"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, name)
    run("git", "init", "--quiet")
    run("dvc", "init", "--quiet")
    return workspace


@pytest.fixture
def delivery(project: Path) -> Path:
    """A folder from the PACS and a table for two batches, the second of which has not come yet."""
    rows = _delivery(project / "export", "first")
    rows += _delivery(project / "export 2", "second", 10)
    pd.DataFrame(rows, columns=COLUMNS).to_csv(project / "labels.csv", index=False)
    return project


def _state() -> dict[str, bytes]:
    """Everything in the project but DVC's cache, git and locks."""
    hidden = (".git/", ".dvc/", ".radrepro/")
    files = {path.as_posix(): path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    return {name: content for name, content in files.items() if not name.startswith(hidden)}


def test_the_first_batch_takes_the_place_of_the_demonstration(delivery: Path) -> None:
    said = batches.add_batch("first", delivery / "export", delivery / "labels.csv")

    given = params.validate(params.load(), Params, "params.yaml")
    assert given.batches == ["first"]
    assert given.split.labels == "data/labels.csv"
    assert given.split.key == "SOPInstanceUID"
    assert given.split.task.value == "binary"
    assert given.split.classes == ["normal", "sick"], "of two classes the one named as healthy is the negative one"
    assert given.ingest.key_file == Path("data/pseudonym.key")
    assert "# What changes results" in params.PATH.read_text(), "comments stay"
    assert "6 of 6 images of 6 patients are labelled: 3 normal, 3 sick" in said
    assert len(list(Path("data/raw/first").rglob("IM*"))) == 6
    with Repo() as repo:
        assert {"data/raw/first.dvc", "data/labels.csv.dvc"} <= {stage.addressing for stage in repo.index.stages}
    assert list(pd.read_csv("data/labels.csv").columns) == ["batch", "SOPInstanceUID", "label"]


def test_the_key_is_secret(delivery: Path) -> None:
    batches.add_batch("first", delivery / "export", delivery / "labels.csv")
    key = Path("data/pseudonym.key")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(key.read_text().strip()) == 64
    assert key.read_text() != Path("stages/phantom/demo.key").read_text()
    run("git", "add", "--all")
    staged = run("git", "diff", "--cached", "--name-only").split()
    assert {name for name in staged if name.startswith("data/")} == {
        "data/.gitignore",
        "data/labels.csv.dvc",
        "data/raw/first.dvc",
    }, "of data only pointers enter git"


def test_a_second_batch_joins_the_first(delivery: Path) -> None:
    batches.add_batch("first", delivery / "export", delivery / "labels.csv")
    key = Path("data/pseudonym.key").read_bytes()
    batches.add_batch("second", delivery / "export 2", delivery / "labels.csv")
    assert params.load()["batches"] == ["first", "second"]
    assert Path("data/pseudonym.key").read_bytes() == key
    assert pd.read_csv("data/labels.csv")["batch"].tolist() == ["first"] * 6 + ["second"] * 6


def test_a_folder_that_lies_in_its_place_is_not_copied(delivery: Path) -> None:
    shutil.copytree(delivery / "export", "data/raw/first")
    before = Path("data/raw/first").stat().st_ino
    batches.add_batch("first", Path("data/raw/first"), delivery / "labels.csv")
    assert Path("data/raw/first").stat().st_ino == before


def test_labels_per_class_make_a_multilabel_task(delivery: Path) -> None:
    table = pd.read_csv(delivery / "labels.csv")
    table = table.assign(nodule=(table["label"] == "sick").astype(int), effusion=["", "1", "0"] * 4, note="free text")
    table.drop(columns="label").to_csv(delivery / "labels.csv", index=False)
    batches.add_batch("first", delivery / "export", delivery / "labels.csv")
    given = params.load()["split"]
    assert given["task"] == "multilabel"
    assert given["classes"] == ["nodule", "effusion"]


@pytest.mark.parametrize(
    ("name", "folder", "spoil", "said"),
    [
        ("First", "export", None, "lower-case"),
        ("site-a", "export", None, "demonstration"),
        ("first", "nowhere", None, "not a folder"),
        ("first", "empty", None, "empty"),
        ("first", "letters", None, "no image in .* can be used"),
        ("first", ".", None, "holds this repository"),
        ("third", "export", None, "no row of it says 'third'"),
        ("second", "export", None, "not one of the 6 labels meets one of the 6 images"),
        ("first", "export", {"label": "normal"}, "two at least"),
        ("first", "export", {"label": [f"DOE^JANE^{n}" for n in range(12)]}, "look like names"),
        ("first", "export", {"SOPInstanceUID": "1.2.3"}, "contradict"),
    ],
)
def test_what_cannot_be_added_changes_nothing(
    delivery: Path, name: str, folder: str, spoil: dict | None, said: str
) -> None:
    (delivery / "empty").mkdir()
    (delivery / "letters").mkdir()
    (delivery / "letters/a.txt").write_text("no image")
    if spoil:
        pd.read_csv(delivery / "labels.csv").assign(**spoil).to_csv(delivery / "labels.csv", index=False)
    before = _state()
    with pytest.raises(UserError, match=said) as raised:
        batches.add_batch(name, delivery / folder, delivery / "labels.csv")
    assert _state() == before
    assert "patient of" not in str(raised.value)


def test_a_failure_at_the_last_step_puts_everything_back(delivery: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches.add_batch("first", delivery / "export", delivery / "labels.csv")
    before = _state()

    def fail(*_: Path) -> None:
        raise UserError("DVC cannot take it in")

    monkeypatch.setattr(batches, "_under_dvc", fail)
    with pytest.raises(UserError):
        batches.add_batch("second", delivery / "export 2", delivery / "labels.csv")
    assert _state() == before


def test_rows_that_meet_no_image_are_left_out_and_counted(delivery: Path) -> None:
    table = pd.read_csv(delivery / "labels.csv").assign(batch="first")
    table.to_csv(delivery / "labels.csv", index=False)
    said = batches.add_batch("first", delivery / "export", delivery / "labels.csv")
    assert "6 rows of the table meet no usable image" in said
    assert len(pd.read_csv("data/labels.csv")) == 6


def test_a_batch_never_changes(delivery: Path) -> None:
    batches.add_batch("first", delivery / "export", delivery / "labels.csv")
    with pytest.raises(UserError, match="never changes"):
        batches.add_batch("first", delivery / "export 2", delivery / "labels.csv")


def test_a_disk_without_room_is_refused(delivery: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 5, 5))
    before = _state()
    with pytest.raises(UserError, match="make room"):
        batches.add_batch("first", delivery / "export", delivery / "labels.csv")
    assert _state() == before


def test_tidy_removes_what_params_yaml_does_not_name(project: Path) -> None:
    kept, gone = Path("models/scratch/model.safetensors"), Path("data/index/gone.parquet")
    for path in (kept, gone, Path("models/gone/model.safetensors")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    said = batches.tidy()
    assert "data/index/gone.parquet" in said
    assert "models/gone" in said
    assert kept.exists()
    assert not gone.exists()
    assert not Path("models/gone").exists()
    assert "nothing to tidy" in batches.tidy()


def test_the_shipped_params_yaml_survives_an_edit_unchanged(project: Path) -> None:
    """Else the first add-batch would also reformat what it does not change."""
    before = params.PATH.read_text()
    edit({("batches",): YAML(typ="safe").load(before)["batches"]})
    assert params.PATH.read_text() == before


def test_what_dvc_remembers_of_files_is_in_the_project_for_its_owner_alone(delivery: Path) -> None:
    """It holds their paths; DVC's own place for it is /var/tmp."""
    batches.add_batch("first", delivery / "export", delivery / "labels.csv")

    with Repo() as repo:
        assert Path(repo.site_cache_dir).is_relative_to(batches.DVC_STATE.resolve())
    assert stat.S_IMODE(batches.DVC_STATE.stat().st_mode) == 0o700
    assert not [path for path in Path(".radrepro/work").rglob("*") if path.is_file()], (
        "the scan's chunks hold paths, too"
    )
    remembered = [path.read_bytes() for path in batches.DVC_STATE.rglob("*") if path.is_file()]
    assert any(b"IM0" in content for content in remembered)


def test_a_place_that_was_chosen_for_what_dvc_remembers_stays(delivery: Path) -> None:
    run("dvc", "config", "core.site_cache_dir", str(delivery / "chosen"))
    batches.add_batch("first", delivery / "export", delivery / "labels.csv")

    assert any((delivery / "chosen").rglob("*.db"))
    assert not batches.DVC_STATE.exists()


def test_an_archive_is_copied_as_it_is_and_its_images_are_found_again(delivery: Path) -> None:
    with zipfile.ZipFile(delivery / "export/vendor.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number, path in enumerate(sorted((delivery / "export").rglob("IM*"))):
            archive.write(path, f"DICOM/{number}")
            path.unlink()
    os.mkfifo(delivery / "export/pipe")  # holds no image, and stays where it is

    said = batches.add_batch("first", delivery / "export", delivery / "labels.csv")

    assert "6 of 6 images of 6 patients are labelled" in said
    assert tree.entries(Path("data/raw/first")) == [f"vendor.zip/DICOM/{number}" for number in range(6)]


def test_an_archive_counts_for_the_disk(delivery: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (delivery / "export").rglob("IM*"):
        with zipfile.ZipFile(path.with_name(f"{path.name}.zip"), "w") as archive:
            archive.write(path, "IM")
        path.unlink()
    size = sum(path.stat().st_size for path in (delivery / "export").rglob("*.zip"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10 * size, 9 * size, size))

    with pytest.raises(UserError, match="make room first"):
        batches.add_batch("first", delivery / "export", delivery / "labels.csv")
