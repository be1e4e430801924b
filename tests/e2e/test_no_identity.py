"""Nothing that names a patient is in any byte that the pipeline writes, but where it is said to be.

A delivery of DICOM files that hold a name wherever one fits goes through everything that a user runs. Then every file
is searched: data downstream of ingest, models, reports, locks, DVC's cache and state, git's objects, MLflow's and
Prefect's databases and artifacts, logs, temporary files.
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from pydicom import config
from ruamel.yaml import YAML

from stages.reasons import Reason
from tests.e2e import canaries, sweep
from tests.e2e.canaries import PREFIX, Delivery
from tests.e2e.conftest import Clone

pytestmark = [
    pytest.mark.long,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore:Unknown encoding"),  # of pydicom, when the files are made
]

PATIENTS = {"north": 30, "south": 12}
ERRORS = "reports/recipes/fine_tune/errors.csv"
HOLDERS = ("data/raw", "data/labels.csv", "data/restricted", "data/pseudonym.key", ".radrepro/dvc")
"""What holds identities, and says so in docs/deidentification.md."""

DVC_ELSEWHERE = Path("/var/tmp/dvc")
"""Where DVC remembers paths, unless told not to."""

EXPECTED = {
    Reason.NOT_DICOM, Reason.TRUNCATED, Reason.MISSING_PATIENT_ID, Reason.MISSING_UID, Reason.UNREADABLE,
    Reason.UNSUPPORTED, Reason.NO_PIXEL_DATA, Reason.BURNED_IN, Reason.DUPLICATE, Reason.CONFLICTING_DUPLICATE,
    Reason.DECODE_FAILED,
}  # fmt: skip


@dataclass(frozen=True)
class Ran:
    """The clone after everything ran, where the delivery lies, and what the commands said."""

    clone: Clone
    delivery: Delivery
    said: dict[str, str]
    started: float

    @property
    def root(self) -> Path:
        """Holds the clone, and as home and folder for temporary files whatever its processes write elsewhere."""
        return self.clone.path.parent


@pytest.fixture(scope="module")
def ran(new_clone: Callable[[str], Clone]) -> Ran:
    clone = new_clone("canaries")
    root = clone.path.parent
    (root / "tmp").mkdir()
    clone.env.update(TMPDIR=str(root / "tmp"), XDG_CACHE_HOME=str(root / "cache"))
    delivery = Delivery(root / "delivery")
    with config.disable_value_validation():
        for batch, patients in PATIENTS.items():
            for number in range(patients):
                delivery.patient(batch, number + 100 * (batch == "south"), positive=number % 2 == 0)
        delivery.refuse("north")
    delivery.write_labels()
    small(clone)
    key = clone.path / "data/pseudonym.key"
    key.write_text(delivery.canaries.text("the secret key") * 3)

    said: dict[str, str] = {}
    started = time.time()

    def run(*command: str, check: bool = True) -> None:
        done = clone.run(*command, check=check)
        assert (done.returncode == 0) == check, " ".join(command)
        said[f"{' '.join(command[:2])} ({len(said)})"] = done.stdout + done.stderr

    for batch in PATIENTS:
        run("radrepro", "add-batch", batch, str(delivery.batch(batch)), "--labels", str(delivery.table()))
        clone.commit(f"Batch {batch}")
    run("radrepro", "run")
    clone.commit("built")
    for command in (["radrepro", "results"], ["radrepro", "quarantine"], ["radrepro", "times"], ["dvc", "status"]):
        run(*command)
    labels = clone.path / "data/labels.csv"
    before = labels.read_bytes()
    wrong = delivery.canaries.text("label of an unknown class")
    labels.write_bytes(before + f"north,{delivery.canaries.text('unknown patient')},{wrong}\n".encode())
    run("radrepro", "run", check=False)
    labels.write_bytes(before)
    (clone.path / "data/raw/north" / delivery.canaries.text("link to nowhere")).symlink_to(root / "nowhere")
    run("radrepro", "run", check=False)
    said["git log (all)"] = clone.run("git", "log", "--patch", "--all").stdout
    return Ran(clone, delivery, said, started)


def small(clone: Clone) -> None:
    """As little as still goes through every stage."""
    yaml = YAML()
    path = clone.path / "params.yaml"
    content = yaml.load(path)
    del content["recipes"]["scratch"], content["weights"]["random"]
    content["recipes"]["fine_tune"]["epochs"] = 1
    content["split"]["unlabelled"] = "ignore"
    for section in ("ingest", "preprocess"):
        content[section]["max_quarantined_fraction"] = 1.0
    yaml.dump(content, path)


def holders(clone: Clone) -> set[Path]:
    """What may hold identities: the places that are named, and the objects of DVC's cache that are copies of them."""
    pointers = "".join(path.read_text() for path in clone.path.glob("data/**/*.dvc"))
    pointers += clone.run("git", "log", "--all", "--patch", "--format=", "--", "*.dvc").stdout  # of earlier states, too
    digests = set(re.findall(r"md5: ([0-9a-f]{32}(?:\.dir)?)", pointers))
    for stage in YAML(typ="safe").load(clone.path / "dvc.lock")["stages"].values():
        digests |= {out["md5"] for out in stage.get("outs", []) if out["path"].startswith(HOLDERS)}
    objects = {_object(clone, digest) for digest in digests}
    for listing in [path for path in objects if path.suffix == ".dir"]:
        objects |= {_object(clone, entry["md5"]) for entry in json.loads(listing.read_text(encoding="utf-8"))}
    return {clone.path / name for name in HOLDERS} | objects


def _object(clone: Clone, digest: str) -> Path:
    return clone.path / ".dvc/cache/files/md5" / digest[:2] / digest[2:]


def told(found: list[sweep.Found], delivery: Delivery) -> str:
    """Every find, with where its text was planted."""

    def origin(item: sweep.Found) -> str:
        at = item.around.lower().find(PREFIX.lower().encode())
        name = item.around[at : at + len(PREFIX) + 5].decode("ascii", "replace").upper()
        return delivery.canaries.planted.get(name, "")

    return "\n".join(f"{item.where}: {item.text} in {item.encoding}: {item.around!r} {origin(item)}" for item in found)


@pytest.fixture(scope="module")
def wanted() -> list[sweep.Needle]:
    return sweep.needles(canaries.SEARCHED)


def test_the_delivery_went_through_everything(ran: Ran) -> None:
    """Else there would be nothing to find."""
    path = ran.clone.path
    restricted = pd.concat([pd.read_csv(path / f"data/restricted/{batch}.csv", dtype=str) for batch in PATIENTS])
    assert (restricted["status"] == "accepted").sum() >= sum(PATIENTS.values())
    reasons = set(restricted["reason"].dropna())
    for batch in PATIENTS:
        reasons |= set(pd.read_csv(path / f"data/images/{batch}/quarantine.csv")["reason"])
    assert {reason.name for reason in EXPECTED} <= reasons
    cohort = pd.read_parquet(path / "data/cohort.parquet")
    assert cohort["patient"].nunique() == sum(PATIENTS.values())
    assert "DVC cannot read a file" in "".join(ran.said.values())
    for place in ("models/fine_tune/model.safetensors", "reports/comparison.html", ERRORS, "mlflow.db"):
        assert (path / place).stat().st_size > 0
    assert any(ran.root.glob("prefect/*.db"))
    assert any((path / "mlartifacts").rglob("*.html"))
    assert "a label that split.classes does not name" in "".join(ran.said.values())


def test_no_byte_names_a_patient(ran: Ran, wanted: list[sweep.Needle]) -> None:
    exempt = {*holders(ran.clone), ran.delivery.root}
    found, read = sweep.search_tree(
        ran.root, wanted, lambda path: path in exempt or any(parent in exempt for parent in path.parents)
    )
    assert read > 300
    assert not found, told(found, ran.delivery)


def test_no_command_says_a_name(ran: Ran, wanted: list[sweep.Needle]) -> None:
    source = str(ran.delivery.root)  # the user typed it
    for command, text in ran.said.items():
        found = list(sweep.search(command, text.replace(source, "").encode(), wanted))
        assert not found, told(found, ran.delivery)


def test_git_holds_loose_objects_only(ran: Ran) -> None:
    """The search reads those, not packs."""
    counted = ran.clone.run("git", "count-objects", "-v").stdout
    assert "packs: 0\n" in counted
    assert int(re.search(r"^count: (\d+)", counted)[1]) > 100


def test_dvc_remembers_no_path_where_every_user_can_read(ran: Ran, wanted: list[sweep.Needle]) -> None:
    files = [path for path in DVC_ELSEWHERE.rglob("*") if path.is_file() and path.stat().st_mtime >= ran.started]
    for path in files:
        assert not list(sweep.search(str(path), path.read_bytes(), wanted))


def test_dates_are_shifted_and_nothing_of_a_kept_attribute_is_free_text(ran: Ran) -> None:
    index = pd.concat([pd.read_parquet(ran.clone.path / f"data/index/{batch}.parquet") for batch in PATIENTS])
    for column in ("modality", "manufacturer", "body_part", "view", "laterality", "sex"):
        assert set(index[column].dropna()) <= {"DX", "OTHER", "other", "Siemens", "CHEST", "PA", "U", "F"}, column
    if "day" in index.columns:
        day = pd.Timestamp(canaries.STUDY)
        assert not set(index["day"].dropna()) & {day.toordinal(), (day - pd.Timestamp(0)).days}
        assert len(set(index["day"].dropna())) > 1, (
            "all were examined on one day: every patient has a shift of their own"
        )


@pytest.mark.parametrize("place", HOLDERS)
def test_the_search_finds_what_is_there(ran: Ran, wanted: list[sweep.Needle], place: str) -> None:
    """What is exempt holds names indeed, and the same search finds them."""
    assert _finds(ran.clone.path / place, wanted)


def test_the_search_finds_names_in_the_cache_of_dvc(ran: Ran, wanted: list[sweep.Needle]) -> None:
    objects = [path for path in holders(ran.clone) if ".dvc" in path.parts]
    assert len(objects) > sum(PATIENTS.values())
    assert any(_finds(path, wanted) for path in objects if path.suffix == ".dir")
    assert any(_finds(path, wanted) for path in objects if path.suffix != ".dir")


def _finds(path: Path, wanted: list[sweep.Needle]) -> bool:
    files: Iterator[Path] = path.rglob("*") if path.is_dir() else iter([path])
    return any(any(sweep.search(str(file), file.read_bytes(), wanted)) for file in files if file.is_file())
