import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from pipeline import lineage
from pipeline.lineage import Join
from pipeline.tracking import workspace
from stages.runtime import UserError

LOCK = {
    "stages": {
        "ingest@a": {
            "cmd": "python -m stages.ingest a",
            "deps": [{"path": "data/raw/a", "md5": "aa.dir"}, {"path": "stages/ingest", "md5": "c0.dir"}],
            "params": {"params.yaml": {"ingest": {"key_file": "k"}}},
            "outs": [{"path": "data/index/a.parquet", "md5": "01", "size": 5}],
        },
        "ingest@b": {
            "cmd": "python -m stages.ingest b",
            "deps": [{"path": "data/raw/b", "md5": "bb.dir"}],
            "outs": [{"path": "data/index/b.parquet", "md5": "02"}],
        },
        "split": {
            "cmd": "python -m stages.split",
            "deps": [
                {
                    "path": "data/index",
                    "md5": lineage.directory_md5(
                        [{"md5": "02", "relpath": "b.parquet"}, {"md5": "01", "relpath": "a.parquet"}]
                    ),
                },
                {"path": "params.yaml", "md5": "dd"},
            ],
            "outs": [{"path": "data/cohort.parquet", "md5": "03"}],
        },
        "unrelated": {"cmd": "x", "outs": [{"path": "elsewhere", "md5": "04"}]},
    }
}
POINTER = {"outs": [{"path": "a", "md5": "aa.dir", "size": 9, "nfiles": 3}]}


def _stages():
    return [*lineage.stages_of_lock(LOCK), lineage.stage_of_pointer("data/raw/a.dvc", POINTER)]


def _join(chain, path):
    return next(link for link in chain.links if link.path == path)


def test_code_and_data_are_told_apart() -> None:
    ingest = _stages()[0]
    assert [file.path for file in ingest.code] == ["stages/ingest"]
    assert [file.path for file in ingest.inputs] == ["data/raw/a"]
    assert ingest.params == {"ingest": {"key_file": "k"}}


def test_links_meet_on_path_and_hash() -> None:
    chain = lineage.chain(_stages())
    assert _join(chain, "data/raw/a").producers == ("data/raw/a.dvc",)
    assert _join(chain, "data/raw/a").join is Join.EXACT
    assert _join(chain, "data/raw/b").join is Join.SOURCE
    assert _join(chain, "data/index").join is Join.ASSEMBLED
    assert set(_join(chain, "data/index").producers) == {"ingest@a", "ingest@b"}
    assert not chain.broken


def test_upstream_holds_what_a_stage_rests_on_and_nothing_else() -> None:
    chain = lineage.chain(_stages()).upstream("split")
    assert {stage.name for stage in chain.stages} == {"data/raw/a.dvc", "ingest@a", "ingest@b", "split"}
    assert chain.stages[-1].name == "split"
    assert chain.maker("data/cohort.parquet").name == "split"
    with pytest.raises(UserError, match="elsewhere"):
        chain.maker("elsewhere")


@pytest.mark.parametrize("number", range(3))
def test_another_hash_anywhere_breaks_its_link(number: int) -> None:
    stages = _stages()
    at = next(
        index for index, stage in enumerate(stages) if stage.name == ["data/raw/a.dvc", "ingest@a", "ingest@b"][number]
    )
    out = stages[at].outputs[0]
    stages[at] = replace(stages[at], outputs=(replace(out, md5="ff" + out.md5[2:]),))
    chain = lineage.chain(stages)
    assert [link.path for link in chain.broken] == [["data/raw/a", "data/index", "data/index"][number]]
    assert chain.sha256 != lineage.chain(_stages()).sha256


def test_a_comment_in_params_yaml_does_not_change_the_chain_but_a_value_does() -> None:
    def chain(md5: str, key: str):
        stages = LOCK["stages"]
        split = {**stages["split"], "deps": [stages["split"]["deps"][0], {"path": "params.yaml", "md5": md5}]}
        ingest = {**stages["ingest@a"], "params": {"params.yaml": {"ingest": {"key_file": key}}}}
        return lineage.chain(lineage.stages_of_lock({"stages": {**stages, "split": split, "ingest@a": ingest}}))

    assert chain("dd", "k").sha256 == chain("ee", "k").sha256
    assert chain("dd", "k").sha256 != chain("dd", "other").sha256


@given(st.randoms(use_true_random=False))
def test_the_chain_does_not_depend_on_the_order_of_the_lock(shuffle: random.Random) -> None:
    stages = _stages()
    shuffle.shuffle(stages)
    assert lineage.chain(stages) == lineage.chain(_stages())


def test_a_dependency_without_a_hash_is_refused() -> None:
    with pytest.raises(UserError, match="data/raw/a has no md5"):
        lineage.stages_of_lock({"stages": {"ingest": {"deps": [{"path": "data/raw/a"}]}}})


def test_every_link_of_a_real_lock_is_verified(project: Path) -> None:
    """DVC computed these hashes: of directories that several stages fill, too."""
    chain = workspace.locks().chain
    joins = {link.path: link.join for link in chain.links}
    assert joins["models"] is joins["reports/recipes"] is joins["data/images"] is Join.ASSEMBLED
    assert {path for path, join in joins.items() if join is Join.SOURCE} == {"params.yaml", "reports/test_looks.csv"}
    assert not chain.broken
    assert not any("unused" in stage.name for stage in chain.stages)
    for stage in chain.stages:
        assert [workspace.md5(Path(out.path)) for out in stage.outputs] == [out.md5 for out in stage.outputs]


def test_entries_of_stages_that_are_gone_are_no_part_of_the_chain(project: Path) -> None:
    before = workspace.locks().chain
    yaml = YAML()
    content = yaml.load(Path("dvc.lock"))
    content["stages"]["ingest@gone"] = content["stages"]["ingest@site-a"] | {"cmd": "python stages/make.py ingest gone"}
    yaml.dump(content, Path("dvc.lock"))
    assert workspace.locks().chain == before


@pytest.mark.parametrize("damage", ["", "stages: [", "<<<<<<< HEAD\n"])
def test_a_damaged_lock_is_one_line(project: Path, damage: str) -> None:
    Path("dvc.lock").write_text(damage)
    with pytest.raises(UserError, match=r"git checkout|correct dvc\.yaml"):
        workspace.locks()
