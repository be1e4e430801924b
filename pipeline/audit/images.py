"""One image's way in: from the model's prediction back to the bytes of its DICOM file, each step recomputed."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.audit import contents, tree
from pipeline.audit.contents import Contents
from pipeline.audit.record import Record, recipe_of
from pipeline.lineage import Chain
from stages.artifacts import cohort, evaluation, images, index, quarantine, tables
from stages.artifacts.cohort import Cohort
from stages.runtime import UserError

_LEAST = 6
"""Characters of a key that may stand for it."""


def way(record: Record, key: str, *, paths: bool = False) -> dict[str, Any]:
    """Every step, as plain objects. ``key`` is an image's or a file's, or how it begins; or BATCH/KEY.

    Raises
    ------
    UserError
        If no file that is here has such a key, several do, or what would tell is not here.
    """
    own = record.own(tree.chain(record))
    store = Contents(contents.claims(record.locks()))
    only, _, key = key.rpartition("/")
    if len(key) < _LEAST:
        raise UserError(f"'{key}' is too short for a key: give {_LEAST} characters of it or more")
    found, unread = [], []
    for batch in [batch for batch in tree.batches(record, own) if only in {"", batch}]:
        try:
            found += _in_batch(own, store, batch, key)
        except UserError as error:
            unread.append(str(error))
    if len(found) > 1:
        named = ", ".join(f"{one['batch']}/{one['key']}" for one in found[:_LEAST])
        raise UserError(f"{len(found)} images or files have a key like '{key}': give more of it, or one of {named}")
    if not found:
        about = f"; not all could be searched: {unread[0]}" if unread else ""
        raise UserError(f"no image or file of {record.label} has the key '{key}'{about}")
    (one,) = found
    steps = [_origin(own, store, one, paths=paths), *one["steps"]]
    if "image" in one:
        steps += _onward(own, store, one)
    return {"model": record.label, "key": one["key"], "batch": one["batch"], "steps": steps}


def text(content: dict[str, Any]) -> str:
    """The same for people."""
    lines = [f"{content['key']} in batch {content['batch']}, as {content['model']} has it"]
    for step in content["steps"]:
        lines.append(f"\n{step['step']}: {step['says']}")
        lines += [f"  {name:<18} {value}" for name, value in step["facts"].items() if value not in (None, "")]
    return "\n".join(lines)


def _step(name: str, says: str, facts: dict[str, Any]) -> dict[str, Any]:
    return {"step": name, "says": says, "facts": {key: _plain(value) for key, value in facts.items()}}


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return None if value is pd.NA or (isinstance(value, float) and np.isnan(value)) else value


def _open(own: Chain, store: Contents, path: Path, inside: str = "") -> Path:
    found = store.path(own.output(path), inside)
    if found is None:
        whole = path / inside if inside else path
        raise UserError(f"{whole} as this model read it is neither here nor in DVC's cache: dvc pull")
    return found


def _in_batch(own: Chain, store: Contents, batch: str, key: str) -> list[dict[str, Any]]:
    """What of the batch has this key: an image, a file that gave none, or a file that was refused."""
    listed = tables.read(_open(own, store, index.path(batch)), index.SCHEMA)
    folder = images.directory(batch)
    rows = tables.read(_open(own, store, folder, "rows.parquet"), images.SCHEMA)
    hit = rows[rows["image"].str.startswith(key) | rows["file"].str.startswith(key)]
    exact = rows[rows["image"] == key]
    found = []
    for _, row in (hit if exact.empty else exact).iterrows():
        steps = [_indexed(listed[listed["instance"] == row["instance"]].iloc[0]), _rendered(own, store, row)]
        found.append({"key": row["image"], "image": row["image"], "batch": batch, "file": row["file"], "row": row})
        found[-1] |= {"steps": steps, "sha256": row["sha256"]}
    if found:
        return found
    for path, inside in ((index.quarantine_path(batch), ""), (folder, "quarantine.csv")):
        for _, one in quarantine.read(_open(own, store, path, inside)).iterrows():
            name = one["file"]
            instance = listed[listed["file"] == name]
            if name.startswith(key) or (len(instance) and instance.iloc[0]["instance"].startswith(key)):
                facts = {"reason": one["reason"], "detail": one["detail"], "what to do": one["what_to_do"]}
                steps = [_indexed(instance.iloc[0])] if len(instance) else []
                steps.append(_step("quarantine", f"the file is not used ({path / inside if inside else path})", facts))
                sha256 = instance.iloc[0]["sha256"] if len(instance) else ""
                found.append({"key": name, "batch": batch, "file": name, "steps": steps, "sha256": sha256})
    return found


def _origin(own: Chain, store: Contents, one: dict[str, Any], *, paths: bool) -> dict[str, Any]:
    """The DICOM file: found by the table of paths, which stays with the data's owner."""
    raw = Path("data/raw") / one["batch"]
    md5 = next(
        (file.md5 for stage in own.stages for file in (*stage.outputs, *stage.inputs) if file.path == raw.as_posix()),
        "",
    )
    facts: dict[str, Any] = {"file": one["file"], "batch": raw.as_posix(), "batch's md5": md5}
    try:
        listed = pd.read_csv(_open(own, store, index.restricted_path(one["batch"])), dtype=str, keep_default_na=False)
    except UserError:
        return _step("DICOM", "the table of paths is not here, so its bytes are not recomputed", facts)
    row = listed[listed["file"] == one["file"]].iloc[0]
    if paths:
        facts["path"] = row["path"]
    path = raw / row["path"]
    if not path.is_file():
        return _step("DICOM", "not a file of its own here (absent, or within an archive), so not recomputed", facts)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    facts["sha256"] = sha256
    if not one["sha256"]:
        return _step("DICOM", "its bytes are here; the index does not have a refused file's hash", facts)
    return _step("DICOM", "OK: its bytes give the index's sha256" if sha256 == one["sha256"] else _BROKEN, facts)


_BROKEN = "BROKEN: its bytes do not give the recorded hash"


def _indexed(row: "pd.Series[Any]") -> dict[str, Any]:
    facts = {name: row[name] for name in index.SCHEMA.names if name not in {"file", "batch"}}
    return _step("ingest", f"one row of {index.path(row['batch'])}", facts)


def _rendered(own: Chain, store: Contents, row: "pd.Series[Any]") -> dict[str, Any]:
    folder = images.directory(row["batch"])
    pixels = np.load(_open(own, store, folder, "pixels.npy"), mmap_mode="r", allow_pickle=False)
    facts = {name: row[name] for name in images.SCHEMA.names if name not in index.SCHEMA.names}
    same = hashlib.sha256(np.ascontiguousarray(pixels[row["row"]]).tobytes()).hexdigest() == row["pixel_sha256"]
    says = f"OK: row {row['row']} of {folder / 'pixels.npy'} gives pixel_sha256" if same else _BROKEN
    return _step("preprocess", says, facts)


def _onward(own: Chain, store: Contents, one: dict[str, Any]) -> list[dict[str, Any]]:
    """What became of the image: left out, or on a side; and what the model says of it, if it is held out."""
    whole = Cohort.read(_open(own, store, cohort.PATH))
    mine = whole.frame[whole.frame["image"] == one["image"]]
    if mine.empty:
        left = pd.read_csv(_open(own, store, cohort.EXCLUDED_PATH), dtype=str, keep_default_na=False)
        reasons = left[left["image"] == one["image"]]["reason"]
        reason = cohort.Exclusion[reasons.iloc[0]] if len(reasons) else ""
        return [_step("split", f"not in {cohort.PATH}", {"reason": reason})]
    row = mine.iloc[0]
    same = row["pixel_sha256"] == one["row"]["pixel_sha256"] and row["row"] == one["row"]["row"]
    labels = {name: row[f"label:{name}"] for name in whole.classes}
    facts = {"side": row["subset"], "patient": row["patient"], "group": row["group"], **labels}
    says = f"OK: the same pixels in {cohort.PATH}" if same else "BROKEN: other pixels in the cohort"
    steps = [_step("split", says, facts)]
    recipe = recipe_of(own)
    path = evaluation.directory(recipe) / "predictions.parquet"
    judged = tables.read(_open(own, store, path), evaluation.predictions_schema(whole.classes))
    scores = judged[judged["image"] == one["image"]]
    if scores.empty:
        return [
            *steps,
            _step("evaluate", f"the model was {'trained on it' if row['subset'] == 'train' else 'not asked'}", {}),
        ]
    found = {name: round(float(scores.iloc[0][f"score:{name}"]), 6) for name in whole.classes}
    return [*steps, _step("evaluate", f"probabilities of {recipe}, in {path}", found)]
