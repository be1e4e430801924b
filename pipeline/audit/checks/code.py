"""The code that ran, and the parameters that it read: in git, in MLflow, and here."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline import history
from pipeline.audit import contents
from pipeline.audit.links import Link, State, link
from pipeline.audit.record import Record
from pipeline.lineage import CODE, Chain
from pipeline.tracking import describe, workspace
from stages import params
from stages.runtime import UserError


def code(record: Record, own: Chain) -> Iterator[Link]:
    """Each file and folder that a stage ran: commit and patch give its hash, and it is not edited here."""
    files = sorted(
        {file.path: file for stage in own.stages for file in stage.code}.values(), key=lambda file: file.path
    )
    if not history.has(record.commit):
        where = f"commit {record.commit} is not in this clone: git fetch" if record.commit else "it ran outside git"
        yield Link("code", "commit", State.ABSENT, where)
        return
    try:
        then = history.tree(record.commit, record.patch, CODE)
    except UserError as error:
        yield Link("code", "git/changes.patch", State.BROKEN, str(error))
        return
    wrong = [file for file in files if then.md5(file.path) != file.md5]
    by = f"commit {record.commit[:12]}{' with git/changes.patch' if record.patch else ''}"
    for file in wrong:
        yield Link("code", file.path, State.BROKEN, f"{by} does not give what ran")
    now, head = history.on_disk(CODE), history.tree("HEAD", "", CODE)
    here = contents.stages_here(record.locks()).values()
    edited = [
        file
        for file in files
        if file not in wrong
        and now.md5(file.path) != file.md5 == head.md5(file.path)
        and not contents.has_run(here, file.path, now.md5(file.path))
    ]
    for file in edited:
        names = [name for name in {*now.files, *head.files} if name == file.path or name.startswith(f"{file.path}/")]
        changed = ", ".join(sorted(name for name in names if now.files.get(name) != head.files.get(name)))
        yield Link("code", file.path, State.BROKEN, f"changed here since HEAD: {changed} (git diff)")
    yield Link("code", f"{len(files) - len(wrong)} files and folders", State.OK, by)


def values(record: Record, own: Chain) -> Iterator[Link]:
    """params.yaml: as MLflow shows it, as its file in MLflow, as each stage read it, as in git, as here."""
    name = str(params.PATH)
    text = record.run.text(name)
    try:
        given = YAML(typ="safe").load(text)
        flat = describe.flat(given)
    except (YAMLError, AttributeError, ValueError):
        yield Link("params", name, State.BROKEN, "the file that MLflow holds is damaged")
        return
    wrong = sorted(key for key in {*flat, *record.run.params} if flat.get(key) != record.run.params.get(key))
    for key in wrong:
        said = f"MLflow shows {record.run.params.get(key, 'none')}, the file has {flat.get(key, 'none')}"
        yield Link("params", key, State.BROKEN, said)
    for stage in own.stages:
        for key, value in stage.params.items():
            if ":" not in key and value_at(given, key) != value:
                yield Link("params", f"{stage.label}: {key}", State.BROKEN, f"{name} in MLflow has another value")
    yield link("params", "values", not wrong, "see above", f"{len(flat)}, and each is what the stages read")
    if not history.has(record.commit):
        return
    try:
        then = history.tree(record.commit, record.patch, [name]).files.get(name, b"")
    except UserError:
        return  # told of the code
    yield link("params", name, then == text.encode(), f"that of commit {record.commit[:12]} is another", "as in git")
    head, here = history.file("HEAD", name), Path(name)
    if head == text.encode() and (not here.is_file() or here.read_bytes() != head):
        if here.is_file() and contents.has_run(
            contents.stages_here(record.locks()).values(), name, workspace.md5(here)
        ):
            return  # another version was made with it
        yield Link("params", f"{name} here", State.BROKEN, f"changed here since HEAD: git diff -- {name}")


def value_at(content: Any, key: str) -> Any:
    """What params.yaml has at ``key``, such as ``recipes.fine_tune``; None if nothing."""
    if isinstance(content, Mapping) and key in content:
        return content[key]
    for part in key.split("."):
        if not isinstance(content, Mapping) or part not in content:
            return None
        content = content[part]
    return content
