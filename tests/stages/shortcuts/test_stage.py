"""The stage on files: pixels with a border that tells the label, and the same without."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from stages.artifacts import features, images, shortcuts, tables
from stages.artifacts.cohort import COLUMNS, Cohort, Task
from stages.preprocess import geometry
from stages.reports import shortcuts as section
from tests.conftest import ROOT

COUNT, SIZE = 300, 24


def _blank(schema: list[tuple[str, pa.DataType]]) -> pd.DataFrame:
    """A row per image, numbers all alike, keys each their own."""
    frame = pd.DataFrame(index=range(COUNT))
    for name, kind in schema:
        frame[name] = [f"{name} {n}" for n in range(COUNT)] if kind == pa.string() else 1
    return frame.assign(batch="a", row=range(COUNT), patient=[f"p{n}" for n in range(COUNT)])


def build(telling: bool) -> dict:
    """Run the stage on noise; half of the sick have a black border if ``telling``, else half of everybody."""
    random = np.random.default_rng(1)
    sick = random.random(COUNT) < 0.5
    framed = (sick if telling else random.random(COUNT) < 0.5) & (random.random(COUNT) < 0.8)
    pixels = random.integers(60, 200, (COUNT, SIZE, SIZE)).astype(np.uint8)
    inner = np.zeros((SIZE, SIZE), dtype=bool)
    inner[3:-3, 3:-3] = True
    pixels[framed] = np.where(inner, pixels[framed], 0)

    same = ("manufacturer", "site", "modality", "view", "body_part", "laterality", "burned_in", "photometric")
    rows = _blank(list(zip(images.SCHEMA.names, images.SCHEMA.types, strict=True)))
    rows = rows.assign(**dict.fromkeys([*same, "transfer_syntax", "window", "sex"], "one"))
    rows = rows.assign(border=[geometry.border(image) for image in pixels], mean=pixels.mean(axis=(1, 2)))
    folder = images.directory("a")
    folder.mkdir(parents=True)
    with images.Writer(folder, SIZE) as writer:
        writer.append(pixels)
    tables.write(folder / "rows.parquet", rows, images.SCHEMA)
    features.write("a", random.normal(size=(COUNT, 8)).astype(np.float32))
    frame = _blank(COLUMNS).assign(subset=np.resize(["train", "test", "train", "val"], COUNT))
    frame = frame.assign(**dict.fromkeys(same[:5], "one"), sex="one").sample(frac=1, random_state=1)
    frame["label:normal"], frame["label:sick"] = (~sick[frame["row"]]).astype(float), sick[frame["row"]].astype(float)
    Cohort(frame.reset_index(drop=True), Task.BINARY, ("normal", "sick")).write()
    Path("params.yaml").write_text(f"seed: 3\nshortcuts: {json.dumps({'permutations': 5})}\n", encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-m", "stages.shortcuts"],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = shortcuts.read()
    assert all(warning in done.stderr for warning in found["warnings"])
    return found


def test_a_border_that_tells_the_label_is_warned_of(workspace: Path) -> None:
    found = build(telling=True)
    nuisance = found["labels"]["nuisance"]
    assert nuisance["verdict"] == "warning"
    assert {"border", "contrast", "mean"} == set(nuisance["columns"])
    assert nuisance["auroc"]["value"] == pytest.approx(0.9, abs=0.07)  # 0.8 of the sick have it: 0.5 + 0.8 / 2
    assert len(found["warnings"]) == 1
    assert found["origins"] == {}

    model = {"value": 0.85, "low": 0.8, "high": 0.9}
    assert section.fact(found).value == "1 warning"
    said = section.notes(found, model)
    assert said[0] == f"Warning: {found['warnings'][0]}"
    assert "nothing shows that it has learnt more" in said[1]
    assert len(section.notes(found, model | {"low": 0.99})) == 1
    rows = section.table(found, model).rows
    assert rows[0][:2] == ["the model, from the image", "the label"]
    assert [row[3] for row in rows if row[1] == "the label"] == ["", "warning", "undefined", "undefined"]
    assert all(len(row) == 4 for row in rows)


def test_a_border_that_tells_nothing_is_not(workspace: Path) -> None:
    found = build(telling=False)
    assert found["labels"]["nuisance"]["verdict"] == "ok"
    assert found["warnings"] == []
    assert {entry["verdict"] for entry in found["permuted"].values()} == {"ok"}
    assert section.fact(found).value == "none found"
    assert section.notes(found, {"value": 0.9, "low": 0.8, "high": 0.95}) == []
