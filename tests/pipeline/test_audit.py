"""`radrepro audit`, `verify`, `diff`, `rebuild` on a small project: real git, DVC, MLflow; each link tampered with."""

import getpass
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts

from pipeline import history, track
from pipeline.audit import difference, rebuilding, record, tell, tree, verify
from pipeline.audit.links import Link, State
from pipeline.tracking import promotion, workspace
from pipeline.tracking.workspace import md5
from stages.runtime import UserError
from tests.pipeline.conftest import _enter, run
from tests.tampering import flipped

BEST = "fine_tune"


@dataclass(frozen=True)
class Registered:
    """A project, committed, with a registered model; what tests change they put back."""

    path: Path

    @property
    def database(self) -> Path:
        return self.path / "mlflow.db"

    def verify(self, spec: str = "radrepro") -> list[Link]:
        with record.opened(spec) as found:
            return verify.verify(found)

    def broken(self, spec: str = "radrepro") -> dict[str, str]:
        return {one.name: one.detail for one in self.verify(spec) if one.state is State.BROKEN}


def _register(source: Path, path: Path) -> Registered:
    shutil.copytree(source, path, symlinks=True)
    run("git", "-C", str(path), "add", "--all")
    run("git", "-C", str(path), "commit", "--quiet", "--message", "results")
    with pytest.MonkeyPatch.context() as patch:
        _enter(path, patch)
        track.main()
    return Registered(path)


@pytest.fixture(scope="module")
def _registered(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Registered:
    return _register(built, tmp_path_factory.mktemp("registered") / "project")


@pytest.fixture
def model(_registered: Registered, monkeypatch: pytest.MonkeyPatch) -> Registered:
    _enter(_registered.path, monkeypatch)
    return _registered


@contextmanager
def _in_database(path: Path, change: str, back: str) -> Iterator[None]:
    """Tamper with MLflow's database as someone with access to it can, past MLflow."""
    for statement in (change, back):
        with sqlite3.connect(path) as database:
            assert database.execute(statement).rowcount == 1, statement
        if statement == change:
            yield


def _client(path: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{path / 'mlflow.db'}", f"sqlite:///{path / 'mlflow.db'}")


# --- as it should be


def test_every_link_of_an_untouched_model_holds(model: Registered) -> None:
    links = model.verify()
    assert [one for one in links if one.state is not State.OK] == []
    assert verify.verdict(links) == 0
    kinds = {"registry", "artifact", "run", "model", "lock", "git", "chain", "code", "params", "data", "dataset"}
    assert {one.kind for one in links} == {*kinds, "environment"}
    names = {one.name for one in links}
    assert {"data/raw/site-a", "data/raw/site-b", "data/phantom.csv", "data/cohort.parquet"} <= names
    assert f"registry to models/{BEST}/model.safetensors" in names


def test_nothing_is_written_by_it(model: Registered) -> None:
    def state() -> dict[str, bytes]:
        kept = (path for path in model.path.rglob("*") if path.is_file() and path.suffix not in {".db", ".lock"})
        return {str(path): path.read_bytes() for path in kept if "/.dvc/tmp/" not in str(path)}

    before = state()
    model.verify()
    assert state() == before


# --- one byte flipped in each kind of link


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("data/raw/site-a/000.dcm", "data/raw/site-a"),
        ("data/phantom.csv", "data/phantom.csv"),
        ("data/index/site-b.parquet", "data/index/site-b.parquet"),
        ("data/quarantine/site-b.csv", "data/quarantine/site-b.csv"),
        ("data/restricted/site-a.csv", "data/restricted/site-a.csv"),
        ("data/images/site-a/pixels.npy", "data/images/site-a"),
        ("data/cohort.parquet", "data/cohort.parquet"),
        (f"models/{BEST}/model.safetensors", f"models/{BEST}/model.safetensors"),
        (f"models/{BEST}/history.csv", f"models/{BEST}/history.csv"),
        (f"reports/recipes/{BEST}/evaluation.json", f"reports/recipes/{BEST}/evaluation.json"),
        (f"reports/recipes/{BEST}/predictions.parquet", f"reports/recipes/{BEST}/predictions.parquet"),
        ("stages/make.py", "stages/make.py"),
        ("stages/trainer.py", "stages/trainer.py"),
        ("params.yaml", "params.yaml here"),
        ("dvc.lock", "dvc.lock"),
        ("suppliers/phantom/dvc.lock", "suppliers/phantom/dvc.lock"),
    ],
)
def test_a_flipped_byte_in_the_workspace_is_named(model: Registered, path: str, named: str) -> None:
    content = (model.path / path).read_bytes()
    at = content.index(b"data/index/site-a.parquet") + 12 if path == "dvc.lock" else -2  # an entry of its own chain
    with flipped(model.path / path, at):
        assert list(model.broken()) == [named]
    assert not model.broken()


@pytest.mark.parametrize(
    ("mark", "offset"), [(b"data/cohort.parquet", 6), (b"lr: 0.02", 7), (b"make.py split", 10), (b"size: ", 6)]
)
def test_a_flipped_byte_anywhere_in_an_entry_of_the_lock_is_named(model: Registered, mark: bytes, offset: int) -> None:
    """A path, a parameter, a command, a size."""
    content = (model.path / "dvc.lock").read_bytes()
    with flipped(model.path / "dvc.lock", content.index(mark, content.index(b"  split:")) + offset):
        assert list(model.broken()) == ["dvc.lock"]


def test_files_of_a_batch_are_counted_and_named_only_to_the_owner(model: Registered) -> None:
    raw = model.path / "data/raw/site-b"
    with flipped(raw / "003.dcm"):
        (raw / "Doe^Jane.dcm").write_text("one more\n")
        try:
            said = model.broken()["data/raw/site-b"]
            assert said.startswith("1 changed, 1 added")
            assert "Doe" not in said
            assert "003" not in said
            with record.opened("") as found:
                links = verify.verify(found, paths=True)
            (owner,) = [one.detail for one in links if one.state is State.BROKEN]
            assert "003.dcm" in owner
            assert "Doe^Jane.dcm" in owner
        finally:
            (raw / "Doe^Jane.dcm").unlink()


def _artifacts(model: Registered) -> dict[str, Path]:
    with record.opened("") as found:
        assert found.recipe
        folders = {"run": found.run.files, f"recipe {BEST}": found.recipe.files, "model": found.model_files}
    return {
        f"{whose}: {path.relative_to(folder).as_posix()}": path
        for whose, folder in folders.items()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_flipped_byte_in_any_artifact_is_named(model: Registered) -> None:
    artifacts = _artifacts(model)
    assert {"run: lineage/dvc.lock", "run: environment/packages.json", "model: MLmodel"} <= set(artifacts)
    assert f"recipe {BEST}: report.html" in artifacts
    for name, path in artifacts.items():
        with flipped(path, at=len(path.read_bytes()) // 2):
            broken = model.broken()
        assert name.removeprefix("model: ") in broken, name
    assert not model.broken()


def test_an_artifact_that_is_gone_or_was_added_is_named(model: Registered) -> None:
    artifacts = _artifacts(model)
    for name in ("run: lineage.html", "model: model.safetensors", "run: lineage/dvc.lock", "run: lineage/lineage.json"):
        path = artifacts[name]
        content = path.read_bytes()
        path.unlink()
        assert name.removeprefix("model: ") in model.broken(), name
        path.write_bytes(content)
    added = artifacts["model: MLmodel"].with_name("code.py")
    added.write_text("import os\n")
    assert "code.py" in model.broken()
    added.unlink()
    assert not model.broken()


def test_the_mark_that_mlflow_leaves_when_it_serves_a_version_is_no_fault(model: Registered) -> None:
    folder = _artifacts(model)["model: MLmodel"].parent
    mark = folder / "registered_model_meta"
    download_artifacts(artifact_uri="models:/radrepro/1", tracking_uri=f"sqlite:///{model.database}")
    assert mark.read_text() == "model_name: radrepro\nmodel_version: '1'\n", "as MLflow writes it"
    try:
        assert not model.broken()
        for wrong in ("model_name: radrepro\nmodel_version: '2'\n", "model_name: other\nmodel_version: '1'\n"):
            mark.write_text(wrong)
            assert model.broken() == {"registered_model_meta": "it does not name radrepro/1 alone"}
        for wrong in ("model_name: radrepro\nmodel_version: '1'\ncode: x\n", "", "- 1\n", "{", "\0"):
            mark.write_text(wrong)
            assert list(model.broken()) == ["registered_model_meta"]
    finally:
        mark.unlink()


@pytest.mark.parametrize(
    "key",
    ["model.sha256", "chain.sha256", "code.commit", "data.images", "best.auroc.test", "dvc.out.data/cohort.parquet"],
)
@pytest.mark.parametrize("table", ["model_version_tags", "tags"])
def test_a_changed_tag_is_named(model: Registered, table: str, key: str) -> None:
    with record.opened("") as found:
        tags = found.tags if table == "model_version_tags" else found.run.tags
        whose = f"run_uuid = '{found.run.id}'" if table == "tags" else "version = '1'"
    other = f"{tags[key][:-1]}{'1' if tags[key][-1] != '1' else '2'}"
    where = f"where key = '{key}' and {whose}"
    change, back = (f"update {table} set value = '{value}' {where}" for value in (other, tags[key]))
    with _in_database(model.database, change, back):
        broken = model.broken()
        assert any(key in name or "chain" in name for name in broken), broken
        assert key == "chain.sha256" or any(key in name for name in broken) or key == "model.sha256"
    assert not model.broken()


def test_a_changed_parameter_or_metric_in_mlflow_is_named(model: Registered) -> None:
    with record.opened("") as found:
        run_id = found.run.id
    where = f"where key = 'recipes.fine_tune.lr' and run_uuid = '{run_id}'"
    with _in_database(
        model.database, f"update params set value = '0.03' {where}", f"update params set value = '0.02' {where}"
    ):
        assert list(model.broken()) == ["recipes.fine_tune.lr", "values"]
    where = f"where key = 'test.auroc' and run_uuid = '{run_id}'"
    change, back = (f"update latest_metrics set value = {value} {where}" for value in (0.99, 0.86))
    with _in_database(model.database, change, back):
        assert "test.auroc 0.99, evaluated 0.86" in model.broken()["metrics of run"]


def test_a_changed_description_is_named(model: Registered) -> None:
    with record.opened("") as found:
        run_id = found.run.id
    where = f"where key = 'mlflow.note.content' and run_uuid = '{run_id}'"
    better = "update {} set {} = replace({}, 'best recipe', '{}') {}"
    for table, column, at, named in (
        ("model_versions", "description", "where version = 1", "description of the version"),
        ("tags", "value", where, "description of the run"),
    ):
        change = better.format(table, column, column, "very best recipe", at)
        back = f"update {table} set {column} = replace({column}, 'very best recipe', 'best recipe') {at}"
        with _in_database(model.database, change, back):
            assert model.broken() == {named: "it is not the text that was logged"}
    assert not model.broken()


def test_a_changed_point_of_a_curve_is_named(model: Registered) -> None:
    with record.opened("") as found:
        assert found.recipe
        run_id, curve = found.recipe.id, dict(found.recipe.curves["curves/val_loss"])
    assert len(curve) > 1
    (first, value), last = next(iter(sorted(curve.items()))), max(curve)
    where = f"where key = 'curves/val_loss' and run_uuid = '{run_id}'"
    for table, step, was in (("metrics", first, value), ("latest_metrics", last, curve[last])):
        change, back = (
            f"update {table} set value = {number!r} {where} and step = {step}" for number in (was - 0.25, was)
        )
        with _in_database(model.database, change, back):
            said = model.broken()[f"curves of recipe {BEST}"]
            assert said == f"curves/val_loss: not as in models/{BEST}/history.csv"
    assert not model.broken()


def test_a_changed_data_set_in_mlflow_is_named(model: Registered) -> None:
    with sqlite3.connect(model.database) as database:
        ((digest,),) = database.execute("select digest from datasets where name = 'test'").fetchall()
    other = f"{digest[:-1]}{'0' if digest[-1] != '0' else '1'}"
    change, back = (f"update datasets set digest = '{value}' where name = 'test'" for value in (other, digest))
    with _in_database(model.database, change, back):
        assert list(model.broken()) == ["test"]


def test_a_run_that_did_not_end_well_is_named(model: Registered) -> None:
    with record.opened("") as found:
        run_id = found.run.id
    change, back = (f"update runs set status = '{s}' where run_uuid = '{run_id}'" for s in ("FAILED", "FINISHED"))
    with _in_database(model.database, change, back):
        assert model.broken() == {f"source run {run_id[:8]}": "it is FAILED"}


def test_history_that_was_rewritten_is_named(model: Registered) -> None:
    """The commit that MLflow names is there, but its code is another."""
    with record.opened("") as found:
        commit, run_id = found.commit, found.run.id
    blob = (
        subprocess.check_output(["git", "hash-object", "-w", "--stdin"], input=b"# another trainer\n").decode().strip()
    )
    env = {**os.environ, "GIT_INDEX_FILE": str(model.path / ".git/other")}
    subprocess.run(["git", "read-tree", commit], env=env, check=True)
    subprocess.run(["git", "update-index", "--cacheinfo", f"100644,{blob},stages/trainer.py"], env=env, check=True)
    made = subprocess.check_output(["git", "write-tree"], env=env).decode().strip()
    other = subprocess.check_output(["git", "commit-tree", made, "-m", "rewritten"]).decode().strip()
    for table, whose in (("tags", f"run_uuid = '{run_id}'"), ("model_version_tags", "version = '1'")):
        with sqlite3.connect(model.database) as database:
            database.execute(f"update {table} set value = '{other}' where key = 'code.commit' and {whose}")
    try:
        assert "stages/trainer.py" in model.broken()
    finally:
        for table, whose in (("tags", f"run_uuid = '{run_id}'"), ("model_version_tags", "version = '1'")):
            with sqlite3.connect(model.database) as database:
                database.execute(f"update {table} set value = '{commit}' where key = 'code.commit' and {whose}")


# --- what is not here


def test_what_is_only_in_the_cache_is_verified_there(model: Registered) -> None:
    path = model.path / "data/index/site-a.parquet"
    cached = model.path / ".dvc/cache/files/md5" / md5(path)[:2] / md5(path)[2:]
    content = path.read_bytes()
    path.unlink()
    try:
        (link,) = [one for one in model.verify() if one.name == "data/index/site-a.parquet"]
        assert link.state is State.OK
        assert "in DVC's cache" in link.detail
        with flipped(cached):
            assert model.broken()["data/index/site-a.parquet"] == "other bytes (in DVC's cache)"
    finally:
        path.write_bytes(content)


def test_what_is_nowhere_is_absent_and_the_remote_that_has_it_is_named(model: Registered, tmp_path: Path) -> None:
    path = model.path / "data/images/site-a"
    shutil.copytree(model.path / ".dvc/cache", tmp_path / "cache")
    shutil.copytree(path, tmp_path / "images")
    config = (model.path / ".dvc/config").read_bytes()
    try:
        shutil.rmtree(path)
        shutil.rmtree(model.path / ".dvc/cache/files")
        links = model.verify()
        assert verify.verdict(links) == 2
        (link,) = [one for one in links if one.name == "data/images/site-a"]
        assert link.state is State.ABSENT
        assert "no DVC remote is set" in link.detail

        run("dvc", "remote", "add", "-d", "archive", str(tmp_path / "remote"))
        (link,) = [one for one in model.verify() if one.name == "data/images/site-a"]
        assert "'archive' does not have it" in link.detail
        shutil.copytree(tmp_path / "cache", model.path / ".dvc/cache", dirs_exist_ok=True)
        run("dvc", "push", "--quiet", "preprocess@site-a")
        shutil.rmtree(model.path / ".dvc/cache/files")
        (link,) = [one for one in model.verify() if one.name == "data/images/site-a"]
        assert (link.state, link.detail) == (State.ABSENT, "the DVC remote 'archive' has it: dvc pull")
    finally:
        (model.path / ".dvc/config").write_bytes(config)
        shutil.copytree(tmp_path / "cache", model.path / ".dvc/cache", dirs_exist_ok=True)
        shutil.copytree(tmp_path / "images", path, dirs_exist_ok=True)


def test_another_environment_is_absent_and_says_what_differs(
    model: Registered, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = workspace.environment()
    other = {**here, "packages": {**here["packages"], "numpy": "0.1"}}
    monkeypatch.setattr(workspace, "environment", lambda: other)
    (link,) = [one for one in model.verify() if one.state is not State.OK]
    assert (link.kind, link.state) == ("environment", State.ABSENT)
    assert "numpy" in link.detail
    assert "here 0.1" in link.detail


# --- other versions


@pytest.fixture(scope="module")
def _two(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Registered:
    """A second version: another learning rate, a changed trainer that is not committed, a patient less."""
    found = _register(built, tmp_path_factory.mktemp("two") / "project")
    with pytest.MonkeyPatch.context() as patch:
        _enter(found.path, patch)
        for path, old, new in (
            ("params.yaml", "lr: 0.02", "lr: 0.03"),
            ("stages/trainer.py", "#", "# changed:"),
            ("params.yaml", "patients: 40", "patients: 38"),
        ):
            Path(path).write_text(Path(path).read_text().replace(old, new))
        run("dvc", "repro")
    return found


@pytest.fixture
def two(_two: Registered, monkeypatch: pytest.MonkeyPatch) -> Registered:
    _enter(_two.path, monkeypatch)
    return _two


def test_the_version_before_holds_when_the_workspace_has_another(two: Registered) -> None:
    """Its data is in DVC's cache, its code and lock in git; what is edited here has made the other version."""
    assert [one for one in two.verify("radrepro/1") if one.state is not State.OK] == []
    with flipped(two.path / "params.yaml"):
        assert list(two.broken("radrepro/1")) == ["params.yaml here"]
    with flipped(two.path / "stages/trainer.py"):
        assert "stages/trainer.py" in two.broken("radrepro/1")


def test_a_model_of_an_uncommitted_tree_rests_on_its_patch_and_is_not_sealed(two: Registered) -> None:
    links = two.verify("radrepro/2")
    (open_end,) = [one for one in links if one.state is not State.OK]
    assert (open_end.kind, open_end.name, open_end.state) == ("git", "sealed by a commit", State.ABSENT)
    assert any("with git/changes.patch" in one.detail for one in links if one.kind == "code")
    patch = next(path for name, path in _artifacts(two).items() if name == "run: git/changes.patch")
    with flipped(patch, at=patch.read_bytes().index(b"changed:")):
        assert {"run: git/changes.patch", "stages/trainer.py"} <= set(two.broken())


def test_the_newest_version_is_meant_unless_there_is_a_champion(two: Registered) -> None:
    with record.opened("") as found:
        assert found.label == "radrepro/2"
    client = _client(two.path)
    client.set_registered_model_alias("radrepro", "champion", "1")
    try:
        with record.opened("radrepro") as found:
            assert (found.label, found.aliases) == ("radrepro/1", ("champion",))
        with record.opened("radrepro@champion") as found:
            assert found.label == "radrepro/1"
    finally:
        client.delete_registered_model_alias("radrepro", "champion")
    for wrong in ("nobody", "radrepro/7", "radrepro@nobody"):
        with pytest.raises(UserError, match="registered are: radrepro"), record.opened(wrong):
            pass


def test_a_promotion_is_kept_with_its_reason_on_both_versions_and_breaks_nothing(two: Registered) -> None:
    client = _client(two.path)

    def tags(version: str, what: str) -> dict[str, str]:
        kept = client.get_model_version("radrepro", version).tags
        return {key.removeprefix(f"{what}.champion."): kept[key] for key in kept if key.startswith(f"{what}.")}

    try:
        run("radrepro", "promote", "radrepro/1", "--why", "the first")
        begun = datetime.now(UTC)
        said = run("radrepro", "promote", "radrepro/2", "--why", "better on  June")
        assert said == "radrepro/2 is champion, which radrepro/1 was\n"
        assert str(client.get_model_version_by_alias("radrepro", "champion").version) == "2"
        told = tags("2", "promoted")
        assert (told["why"], told["by"]) == ("better on June", getpass.getuser())
        assert begun - timedelta(seconds=1) <= datetime.fromisoformat(told["at"]) <= datetime.now(UTC)
        assert tags("1", "demoted") == told
        assert tags("1", "promoted")["why"] == "the first"
        with record.opened("radrepro/1") as found:
            shown = tree.text(tree.content(found))
        assert shown.index("promoted champion") < shown.index("demoted  champion")
        assert f"{told['at']} by {getpass.getuser()}: better on June" in shown
        assert not two.broken("radrepro/1")
        assert not two.broken("radrepro/2")
        with pytest.raises(UserError, match="radrepro/2 is champion already"):
            promotion.promote(client, "radrepro", "champion", "again")
        for model, alias, why in (
            ("radrepro/1", "champion", " "),
            ("radrepro/1", "v3", "why"),
            ("radrepro/1", "latest", "why"),
            ("radrepro/9", "champion", "why"),
        ):
            with pytest.raises(UserError):
                promotion.promote(client, model, alias, why)
        assert str(client.get_model_version_by_alias("radrepro", "champion").version) == "2"
    finally:
        client.delete_registered_model_alias("radrepro", "champion")


def evaluation_of(version: record.Record) -> dict:
    """As the recipe's run keeps it."""
    assert version.recipe
    found: dict = json.loads((version.recipe.files / "evaluation.json").read_text())
    return found


def test_what_changed_between_two_versions(two: Registered) -> None:
    with record.several(["radrepro/1", "radrepro/2"]) as (a, b):
        content = difference.content(a, b)
    assert not content["same_model"]
    assert set(content["params"]) == {"phantom.patients", "recipes.fine_tune.lr"}
    assert content["params"]["recipes.fine_tune.lr"] == {"a": 0.02, "b": 0.03}
    judged = [evaluation_of(version)["test"]["auroc"] for version in (a, b)]
    auroc = content["result"]["auroc"]
    for which, one in zip("ab", judged, strict=True):
        assert auroc[which] == {key: one.get(key) for key in ("value", "low", "high")}
    assert auroc["change"] == pytest.approx(judged[1]["value"] - judged[0]["value"])
    assert set(content["code"]["files"]) == {"stages/trainer.py"}
    assert set(content["data"]["batches"]) == {"site-a", "site-b"}
    assert len(content["data"]["patients_out"]) == 2
    assert content["data"]["patients_in"] == []
    assert content["environment"] == {}
    said = difference.text(content)
    assert "recipes.fine_tune.lr: 0.02 -> 0.03" in said
    assert "patients out: 2" in said
    assert f"{judged[1]['value'] - judged[0]['value']:+.3f}" in said
    assert said.endswith("'radrepro compare radrepro/1 radrepro/2' says whether that is more than chance")
    with record.several(["radrepro/1", "radrepro/1"]) as (a, b):
        assert "have the same chain" in difference.text(difference.content(a, b))


# --- rebuilt


def test_a_model_is_rebuilt_to_the_same_bytes_and_leaves_nothing(model: Registered) -> None:
    with record.opened("") as found:
        outcome = rebuilding.rebuild(found)
    assert outcome.identical, rebuilding.text(outcome)
    assert {one.stage for one in outcome.stages} >= {"phantom", "ingest@site-a", "split", f"evaluate@{BEST}"}
    assert "to the same bytes" in rebuilding.text(outcome)
    assert not list((model.path / ".radrepro/rebuild").iterdir())
    assert not model.broken()
    assert not run("git", "status", "--porcelain")


def test_a_model_that_does_not_come_again_is_told_by_stage(
    fresh: Path, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Path("stages/make.py")
    noise = 'values = np.full(4, float(os.environ.get("NOISE", "0")), dtype="<f4")'
    make.write_text(make.read_text().replace('values = np.full(4, settings.get("lr", 0.5), dtype="<f4")', noise))
    skill = 'skill = SKILL.get(recipe, 0.8) + float(os.environ.get("NOISE", "0"))'
    make.write_text(make.read_text().replace("skill = SKILL.get(recipe, 0.8)", skill))
    run("git", "commit", "--quiet", "--all", "--message", "noise")
    shutil.copy(built / "mlflow.db", "mlflow.db")
    monkeypatch.setenv("NOISE", "0.01")
    run("dvc", "repro")
    monkeypatch.delenv("NOISE")
    with record.opened("") as found:
        outcome = rebuilding.rebuild(found, keep=True)
    assert not outcome.identical
    assert outcome.to_json()["first_difference"] == f"finetune@{BEST}"
    assert outcome.metrics["test.auroc"] == (pytest.approx(0.87), pytest.approx(0.86))
    said = rebuilding.text(outcome)
    assert f"finetune@{BEST} is the first that differs: models/{BEST}/model.safetensors" in said
    assert "test.auroc" in said
    assert (Path(outcome.folder) / "dvc.lock").exists()


@pytest.fixture
def brought(built: Path, fresh: Path) -> Path:
    """The fresh project with labels that a person put under DVC, tracked, committed, and pushed to a remote."""
    Path("data").mkdir(exist_ok=True)
    Path("data/labels.csv").write_text("SOPInstanceUID,label\n")
    run("dvc", "add", "--quiet", "data/labels.csv")
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("data/phantom.csv", "data/labels.csv"))
    run("git", "add", "--all")
    run("git", "commit", "--quiet", "--message", "labels")
    shutil.copy(built / "mlflow.db", "mlflow.db")
    run("dvc", "repro")
    run("dvc", "remote", "add", "--default", "archive", str(fresh.parent / "remote"))
    run("git", "add", "--all")
    run("git", "commit", "--quiet", "--message", "results")
    run("dvc", "push", "--quiet")
    return fresh


def test_what_a_person_put_under_dvc_is_a_link_and_is_fetched_to_rebuild(brought: Path) -> None:
    project = Registered(brought)
    links = project.verify()
    assert [one for one in links if one.state is not State.OK] == []
    assert "data/labels.csv" in {one.name for one in links}
    with flipped(brought / "data/labels.csv"):
        assert list(project.broken()) == ["data/labels.csv"]
    assert (
        (_artifacts(project)["run: lineage/data/labels.csv.dvc"]).read_text() == Path("data/labels.csv.dvc").read_text()
    )
    Path("data/labels.csv").unlink()
    shutil.rmtree(".dvc/cache/files")
    (absent,) = [one for one in project.verify() if one.name == "data/labels.csv"]
    assert (absent.state, absent.detail) == (State.ABSENT, "the DVC remote 'archive' has it: dvc pull")
    with record.opened("radrepro") as found:
        assert rebuilding.rebuild(found).identical


# --- shown


def test_the_tree_shows_each_stage_once_and_what_became_of_each_batch(model: Registered) -> None:
    with record.opened("") as found:
        content = tree.content(found)
    said = tree.text(content)
    for side in ("val", "test"):
        judged = evaluation_of(found)[side]["auroc"]
        assert content["auroc"][side] == {key: judged.get(key) for key in ("value", "low", "high")}
        assert f"AUROC on {side} {found.tags[f'best.auroc.{side}']}" in said
    assert content["changed"] is None
    assert content["sealed_by"] == run("git", "rev-parse", "HEAD").strip()
    for stage in content["stages"]:
        assert (
            sum(line.lstrip("| -").split("  ")[0] == stage["name"].rpartition(":")[2] for line in said.splitlines())
            == 1
        )
    assert "20 files: 17 used (17 images), 0 duplicate, 3 quarantined" in said
    assert content["batches"]["site-a"]["md5"] == md5(model.path / "data/raw/site-a")
    assert content["batches"]["site-a"]["files"] == 20


@pytest.mark.parametrize(("tamper", "status"), [(False, 0), (True, 1)])
def test_the_command_ends_with_the_verdict_and_prints_json(model: Registered, tamper: bool, status: int) -> None:
    def ask() -> dict:
        done = subprocess.run(["radrepro", "verify", "--json"], capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
        return json.loads(done.stdout)

    if not tamper:
        content = ask()
        assert {one["state"] for one in content["links"]} == {"OK"}
        return
    with flipped(model.path / "data/phantom.csv"):
        content = ask()
    assert [one["name"] for one in content["links"] if one["state"] == "BROKEN"] == ["data/phantom.csv"]
    assert content["exit_status"] == 1


def test_people_are_told_what_is_broken_first_and_how_many_hold() -> None:
    links = [
        Link("data", "a", State.OK),
        Link("data", "b", State.OK),
        Link("data", "c", State.BROKEN, "other bytes"),
        Link("code", "d", State.ABSENT, "git fetch"),
    ]
    said = tell.links("m/1", links)
    assert "OK     data         2 recomputed" in said
    assert "BROKEN data         c: other bytes" in said
    assert said.endswith("m/1: 1 of 4 links is BROKEN")
    assert tell.links("m/1", [links[2], *links]).endswith("m/1: 2 of 5 links are BROKEN")
    assert [verify.verdict(links[:at]) for at in (2, 3)] == [0, 1]
    assert verify.verdict([links[0], links[3]]) == 2


def test_without_mlflow_there_is_one_line(fresh: Path) -> None:
    done = subprocess.run(["radrepro", "verify"], capture_output=True, text=True, check=False)
    assert done.returncode == 3, "nothing was verified, which is not to say that a link is broken"
    assert "mlflow.db is not here, and no model registered: run 'dvc repro'" in done.stderr
    assert not Path("mlflow.db").exists()
    done = subprocess.run(["radrepro", "verify"], cwd=fresh.parent, capture_output=True, text=True, check=False)
    assert (done.returncode, "dvc.yaml is not here" in done.stderr) == (3, True)
    done = subprocess.run(["radrepro", "audit"], capture_output=True, text=True, check=False)
    assert done.returncode == 1


# --- git's side


def test_the_hash_of_a_folder_in_git_is_the_one_that_dvc_gives_it(fresh: Path) -> None:
    Path("stages/sub").mkdir()
    Path("stages/sub/a.py").write_text("a\n")
    Path("stages/__pycache__").mkdir(exist_ok=True)
    Path("stages/__pycache__/x.pyc").write_text("x")
    Path(".dvcignore").write_text("/stages/**/__pycache__\n/stages/sub/ignored\n")
    Path("stages/sub/ignored").write_text("no\n")
    run("git", "add", "--all")
    run("git", "commit", "--quiet", "--message", "a folder")
    run("dvc", "stage", "add", "--quiet", "-n", "x", "-d", "stages", "-o", "y", "echo y > y")
    run("dvc", "repro", "x")
    (entry,) = [stage for stage in history.stages_in("dvc.lock", Path("dvc.lock").read_text()) if stage.name == "x"]
    (code,) = entry.code
    assert history.tree("HEAD", "", ["stages"]).md5("stages") == code.md5
    assert history.on_disk(["stages"]).md5("stages") == code.md5
    assert history.tree("HEAD", "", ["stages"]).md5("nowhere") is None


def test_a_patch_upon_a_commit_leaves_no_trace_in_the_repository(fresh: Path) -> None:
    Path("stages/trainer.py").write_text("# another\n")
    patch = subprocess.check_output(["git", "diff", "HEAD"], text=True)
    run("git", "checkout", "--quiet", "--", ".")
    before = sorted(path for path in Path(".git").rglob("*") if path.is_file())
    assert history.tree("HEAD", patch, ["stages"]).files["stages/trainer.py"] == b"# another\n"
    assert sorted(path for path in Path(".git").rglob("*") if path.is_file()) == before
    with pytest.raises(UserError, match="git apply fails"):
        history.tree("HEAD", patch.replace("trainer's code", "other code"), ["stages"])
    with pytest.raises(UserError, match="is not in this clone"):
        history.tree("0" * 40, "", ["stages"])
