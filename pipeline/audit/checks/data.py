"""Every file that a stage wrote or read, from the DICOM to the evaluation, byte by byte."""

import hashlib
from collections.abc import Iterator
from itertools import chain as joined

from pipeline import history
from pipeline.audit import contents
from pipeline.audit.contents import Contents, Found, Place
from pipeline.audit.links import Link, State, link
from pipeline.audit.record import Record
from pipeline.lineage import Chain, File, Join, Stage
from pipeline.text import nameless
from pipeline.tracking import datasets as logged
from stages import params
from stages.artifacts import cohort
from stages.artifacts.cohort import Cohort, Subset
from stages.runtime import UserError

_MOST_NAMED = 3


def files(own: Chain, store: Contents, record: Record, *, paths: bool) -> Iterator[Link]:
    """Each output of each stage and each file from outside: its bytes, wherever they are, give its hash."""
    outputs = {out.path: (stage, out) for stage in own.stages for out in stage.outputs}
    found = {path: store.find(out) for path, (_, out) in outputs.items()}
    absent = [outputs[path][1] for path, one in found.items() if one.place is Place.NOWHERE]
    remote, has, silent = "", set[str](), ""
    if absent:
        try:
            remote, has = contents.on_remote(absent)
        except UserError as error:
            silent = str(error)
    for path, (stage, out) in outputs.items():
        if found[path].place is Place.NOWHERE:
            yield Link("data", path, State.ABSENT, silent or _obtain(stage, out, remote, has))
        else:
            yield _told(path, found[path], paths=paths)
    sources = {one.path: one for one in own.links if one.join is Join.SOURCE and one.path != str(params.PATH)}
    if not sources:
        return
    then = history.tree(record.commit, record.patch, list(sources)) if history.has(record.commit) else None
    for path, one in sources.items():
        if then and then.md5(path) == one.md5:
            yield Link("data", path, State.OK, Place.GIT.value)
        elif (looked := store.find(File(path, one.md5))).place is Place.NOWHERE:
            yield Link("data", path, State.ABSENT, "neither in git nor under DVC: ask who keeps it")
        else:
            yield _told(path, looked, paths=paths)


def _obtain(stage: Stage, out: File, remote: str, has: set[str]) -> str:
    if out.md5 in has:
        return f"the DVC remote '{remote}' has it: dvc pull"
    makes = f"'dvc repro {stage.name}' makes it, or " if stage.command else ""
    if remote:
        return f"the DVC remote '{remote}' does not have it: {makes}'dvc push' where it is"
    return f"no DVC remote is set: {makes}'dvc remote add -d' where it was pushed"


def _told(path: str, found: Found, *, paths: bool) -> Link:
    if found.place is not Place.CHANGED:
        return Link("data", path, State.OK, found.place.value)
    counted = {"changed": found.differing, "missing": found.missing, "added": found.added}
    parts = [f"{len(names)} {what}" for what, names in counted.items() if names] or [Place.CHANGED.value]
    said = f"{', '.join(parts)}{f' ({found.note})' if found.note else ''}"
    names = list(joined(found.differing, found.missing, found.added))
    if names and (paths or not contents.batch_of(path)):
        more = "" if paths or len(names) <= _MOST_NAMED else ", ..."
        said += f": {', '.join(names if paths else names[:_MOST_NAMED])}{more}"
    elif names:
        said += " (which: --paths, for the data's owner)"
    return Link("data", nameless(path), State.BROKEN, said)


def datasets(record: Record, own: Chain, store: Contents) -> Iterator[Link]:
    """Train, val and test in MLflow: their digest is over image, pixels and labels of every row."""
    out = own.output(cohort.PATH)
    path = store.path(out)
    recomputed = {}
    if path:
        whole = Cohort.read(path)
        recomputed = {side.value: hashlib.sha256(logged.manifest(whole.subset(side))).hexdigest() for side in Subset}
    for name, (digest, profile) in sorted(record.run.datasets.items()):
        said = str(profile.get("manifest_sha256", ""))
        if not said.startswith(digest):
            yield Link("dataset", name, State.BROKEN, f"digest {digest}, but its profile says {said}")
        elif name in recomputed:
            yield link("dataset", name, said == recomputed[name], f"the cohort gives {recomputed[name]}", said)
        else:
            yield Link("dataset", name, State.ABSENT, f"{cohort.PATH} is not here to recompute it")
    for key, field in (("data.images", "images"), ("data.patients", "patients")):
        total = sum(int(profile.get(field, 0)) for _, profile in record.run.datasets.values())
        said = record.tags.get(key, "")
        yield link("dataset", f"tag {key}", said == str(total), f"{said}; the data sets have {total}", said)
