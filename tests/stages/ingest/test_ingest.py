import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import BasicTextSRStorage

from stages.artifacts import index, quarantine
from stages.ingest import __main__ as ingest
from stages.ingest import accounting, tree
from stages.ingest.params import IngestParams
from stages.ingest.scan import Scanner
from stages.pseudonyms import DEMO_KEY, PHANTOM_MANUFACTURER, Pseudonyms
from stages.runtime import UserError
from tests.conftest import ROOT
from tests.dicom_files import chest, make_dicom

KEY = Pseudonyms(b"k" * 32)
SECTION = IngestParams(key_file=Path("k.key"))


@pytest.fixture
def batch(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one empty batch, and a secret key."""
    (workspace / "params.yaml").write_text("ingest: {key_file: secret.key, max_quarantined_fraction: 1}\n")
    (workspace / "secret.key").write_bytes(b"s" * 64)
    monkeypatch.setattr(sys, "argv", ["ingest", "here"])
    monkeypatch.setenv("RADREPRO_WORKERS", "2")
    root = workspace / "data/raw/here"
    root.mkdir(parents=True)
    return root


def account(root: Path) -> accounting.Account:
    """What ingest makes of a folder, in this process."""
    return accounting.reconcile(map(Scanner(root, KEY, SECTION), tree.entries(root)), "here")


KINDS = {
    "accepted": None,
    "same": "DUPLICATE",
    "conflicting": "CONFLICTING_DUPLICATE",
    "text": "NOT_DICOM",
    "nothing": "NOT_DICOM",
    "cut": "TRUNCATED",
    "report": "NO_PIXEL_DATA",
    "nobody": "MISSING_PATIENT_ID",
    "unnamed": "MISSING_UID",
}


def make(kind: str, path: Path, original: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    match kind:
        case "accepted":
            make_dicom(path)
        case "same":
            shutil.copy(original, path)
        case "conflicting":
            make_dicom(path, chest(9), SOPInstanceUID="1.2.3")
        case "text":
            path.write_text("Jane Doe, thorax p.a.")
        case "nothing":
            path.touch()
        case "cut":
            make_dicom(path)
            os.truncate(path, path.stat().st_size - 100)
        case "report":
            make_dicom(path, PixelData=None, Rows=None, SOPClassUID=BasicTextSRStorage)
        case "nobody":
            make_dicom(path, PatientID="")
        case "unnamed":
            make_dicom(path, StudyInstanceUID="")


names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
    lambda name: name not in {".", ".."}
)


@given(files=st.lists(st.tuples(st.sampled_from(sorted(KINDS)), st.lists(names, max_size=2)), max_size=12))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_file_is_accepted_a_duplicate_or_quarantined(
    files: list[tuple[str, list[str]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("batch")
    original = root / "!first"  # sorts before the others, so that it is the one that is accepted
    make_dicom(original, SOPInstanceUID="1.2.3")
    for number, (kind, folders) in enumerate(files):
        make(kind, root.joinpath("x", *folders, f"{number} {kind}"), original)

    done = account(root)

    assert len(done.restricted) == len(files) + 1
    assert len(done.accepted) + len(done.rejected) == len(done.restricted)
    expected = [KINDS[kind] for kind, _ in files if KINDS[kind]]
    assert sorted(item.reason.name for item in done.rejected) == sorted(expected)
    for row in done.restricted.itertuples():
        kind = str(row.path).rsplit(" ", 1)[-1]
        assert row.reason == (KINDS.get(kind) or "")
        assert (root / row.path).is_file()
        status = "accepted" if not row.reason else "duplicate" if "DUPLICATE" in row.reason else "quarantined"
        assert row.status == status
    assert done.restricted["file"].is_unique


@given(
    paths=st.lists(
        names | st.sampled_from(["NA", '"', "a,b", "\r", "\r\n", " x "]), min_size=1, max_size=6, unique=True
    )
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_path_comes_back_from_the_restricted_table(paths: list[str], workspace: Path) -> None:
    rows = [(path, str(number), "accepted", "", "key") for number, path in enumerate(paths)]
    index.write_restricted("here", pd.DataFrame(rows, columns=index.RESTRICTED_COLUMNS))

    read = index.read_restricted("here").set_index("file")["path"]

    assert [read[str(number)] for number in range(len(paths))] == paths


def test_outputs_are_the_same_bytes_whatever_the_number_of_workers(
    batch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(60):
        make_dicom(batch / f"study {number % 7}" / f"IM{number}", PatientID=f"P{number % 5}")
    (batch / ".hidden").write_text("no image")
    outputs = [index.path("here"), index.restricted_path("here"), index.quarantine_path("here")]
    found = []
    for workers in ("1", "3"):
        monkeypatch.setenv("RADREPRO_WORKERS", workers)
        ingest.main()
        found.append([path.read_bytes() for path in outputs])

    assert found[0] == found[1]
    accepted = index.read("here")
    assert len(accepted) == 60
    assert accepted["patient"].nunique() == 5
    restricted = index.read_restricted("here").set_index("file")["path"]
    assert [(batch / restricted[file]).stat().st_size for file in accepted["file"]] == accepted["size"].tolist()
    assert quarantine.read(index.quarantine_path("here"))["reason"].tolist() == ["NOT_DICOM"]


def test_links_pipes_and_names_that_are_no_text_neither_hang_nor_vanish(batch: Path) -> None:
    make_dicom(batch / "a" / "image")
    (batch / "a" / "up").symlink_to(batch, target_is_directory=True)
    (batch / "gone").symlink_to(batch / "nowhere")
    (batch / "linked").symlink_to(batch / "a" / "image")
    os.mkfifo(batch / "pipe")
    make_dicom(Path(os.fsdecode(os.fsencode(batch) + b"/caf\xe9")))

    done = account(batch)

    reasons = dict(zip(done.restricted["path"], done.restricted["reason"], strict=True))
    assert reasons == {
        "a/image": "",
        "a/up": "LINK",
        "caf\\xe9": "UNREADABLE",
        "gone": "UNREADABLE",
        "linked": "DUPLICATE",
        "pipe": "NOT_DICOM",
    }


CANARY = "Zebedee"


def test_no_identity_leaves_but_in_the_restricted_paths(batch: Path) -> None:
    nested = Dataset()
    nested.PatientName = nested.StudyDescription = nested.CodeMeaning = CANARY
    words = ["PatientID", "PatientName", "InstitutionName", "Manufacturer", "StudyDescription", "AccessionNumber"]
    words += [
        "StudyInstanceUID",
        "StationName",
        "OperatorsName",
        "ImageComments",
        "PatientAddress",
        "ProtocolName",
        "DeviceSerialNumber",
    ]
    codes = ["Modality", "BodyPartExamined", "ViewPosition", "PatientSex", "ImageLaterality", "PatientAge"]
    values = {**dict.fromkeys(words, CANARY), **dict.fromkeys(codes, CANARY.upper())}
    make_dicom(batch / CANARY / f"{CANARY}.dcm", **values, RequestAttributesSequence=Sequence([nested]))
    make_dicom(batch / f"{CANARY} bad", **{**values, "NumberOfFrames": 2, "PatientAge": "1"})
    (batch / f"{CANARY}.txt").write_text(CANARY)

    command = [sys.executable, "-m", "stages.ingest", "here"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)

    assert len(index.read("here")) == 1
    written = [path for path in Path("data").rglob("*") if path.is_file() and "raw" not in path.parts]
    assert len(written) == 3
    for path in written:
        text = path.read_bytes().upper()
        assert (CANARY.upper().encode() in text) == (path == index.restricted_path("here"))
    assert "1 accepted" in done.stderr
    assert CANARY.upper() not in (done.stdout + done.stderr).upper()


@pytest.mark.parametrize("name", [str(DEMO_KEY), "copied.key"])
def test_the_public_key_is_for_the_phantom_only(batch: Path, name: str) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / DEMO_KEY, name)
    Path("params.yaml").write_text(f"ingest: {{key_file: {name}, max_quarantined_fraction: 1}}\n")
    make_dicom(batch / "a", Manufacturer=PHANTOM_MANUFACTURER)
    ingest.main()
    kept = index.path("here").read_bytes()

    make_dicom(batch / "b", Manufacturer="Siemens")
    with pytest.raises(UserError, match="public"):
        ingest.main()

    assert index.path("here").read_bytes() == kept


def test_a_batch_without_an_image_says_what_it_found_and_writes_nothing(batch: Path) -> None:
    with pytest.raises(UserError, match="empty"):
        ingest.main()
    (batch / "a").write_text("hello")
    make("cut", batch / "b", batch)
    with pytest.raises(UserError, match=r"2 files.*1 NOT_DICOM, 1 TRUNCATED"):
        ingest.main()
    shutil.rmtree(batch)
    with pytest.raises(UserError, match="not here"):
        ingest.main()

    assert not [path for path in Path("data").rglob("*") if path.is_file()]


def test_members_of_archives_are_files_of_the_batch(batch: Path) -> None:
    for number in range(4):
        make_dicom(batch / f"IM{number}", chest(number))
    plain = index.SCHEMA.names
    ingest.main()
    loose = index.read("here")[[name for name in plain if name != "file"]]
    with zipfile.ZipFile(batch / "export.zip", "w") as file:
        for number in range(4):
            file.write(batch / f"IM{number}", f"../DICOM/IM{number}")
            (batch / f"IM{number}").unlink()
        file.writestr("readme.txt", "no image")
        file.writestr("inner.zip", b"PK\3\4")
    (batch / "broken.zip").write_bytes(b"PK\3\4 and no more")
    (batch / "other.data").write_bytes(b"PK\3\4 and no more")
    with zipfile.ZipFile(batch / "nothing.zip", "w"):
        pass

    ingest.main()

    pd.testing.assert_frame_equal(index.read("here")[loose.columns], loose)
    rejected = quarantine.read(index.quarantine_path("here")).set_index("file")
    where = index.read_restricted("here")
    found = {
        row.path: tuple(rejected.loc[row.file, ["reason", "detail"]]) if row.reason else ""
        for row in where.itertuples()
    }
    assert found == {
        "broken.zip": ("UNREADABLE", "damaged archive"),
        "export.zip/inner.zip": ("ARCHIVE", "inside another"),
        "export.zip/readme.txt": ("NOT_DICOM", ""),
        "nothing.zip": ("NOT_DICOM", "an empty archive"),
        "other.data": ("ARCHIVE", ""),
        **{f"export.zip/../DICOM/IM{number}": "" for number in range(4)},
    }
    assert not (batch.parent / "DICOM").exists()


def test_too_many_defective_files_fail_the_stage_and_say_which(batch: Path) -> None:
    Path("params.yaml").write_text("ingest: {key_file: secret.key, max_quarantined_fraction: 0.25}\n")
    for number in range(3):
        make_dicom(batch / f"{number}")
        (batch / f"{number}.txt").write_text("no image")  # harmless: no image is lost with it
    make("cut", batch / "cut", batch)
    ingest.main()
    kept = index.path("here").read_bytes()
    make("unnamed", batch / "unnamed", batch)

    with pytest.raises(UserError, match=r"2 of 5 files .*1 MISSING_UID, 1 TRUNCATED.*max_quarantined_fraction") as said:
        ingest.main()

    table = Path(".radrepro/quarantine/ingest@here.csv")
    assert str(table) in str(said.value)
    told = pd.read_csv(table).set_index("path")["reason"].to_dict()
    assert told == {"cut": "TRUNCATED", "unnamed": "MISSING_UID", **{f"{n}.txt": "NOT_DICOM" for n in range(3)}}
    assert index.path("here").read_bytes() == kept
