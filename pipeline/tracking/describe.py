"""What an auditor reads first: Markdown for a run and a model version, and tags that MLflow can search."""

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from pipeline import summary, text
from pipeline.lineage import Chain, File, Join, Stage
from pipeline.tracking import names
from pipeline.tracking.results import Results
from pipeline.tracking.workspace import Commit, Locks
from stages.artifacts import intake
from stages.artifacts.intake import Counts

RUN_LIMIT = 8000
VERSION_LIMIT = 5000
"""Characters that MLflow keeps of a description."""

_TAG_LIMIT, _PARAM_LIMIT = 8000, 6000
_PAD = "\u2003\u200b"
"""MLflow's tables have no margins: an em space after each cell, held by a zero-width space that nothing trims."""
_SHORT = 8  # characters of a hash in a table; whole hashes are in the tags and in lineage.json


def run(results: Results, locks: Locks, code: Commit) -> str:
    """The pipeline run: the recipes compared, the data, the whole chain."""
    head = "\n\n".join(
        [_verdict(results), _comparison(results), _data(results), _provenance("Pipeline's chain", locks.chain, code)]
    )
    return f"{head}\n\n{_chain(locks.chain, RUN_LIMIT - len(head) - 2)}"


def version(results: Results, chain: Chain, code: Commit) -> str:
    """The model version: how good it is, and what it rests on (``chain`` is its own)."""
    head = "\n\n".join([_verdict(results), _data(results), _provenance("Model's chain", chain, code)])
    return f"{head}\n\n{_chain(chain, VERSION_LIMIT - len(head) - 2)}"


def run_tags(results: Results, locks: Locks, code: Commit) -> dict[str, str]:
    """Tags of the pipeline run; every dependency and output of every stage is one."""
    tags = _common(results, code) | {
        "code.branch": code.branch,
        "code.changed": ", ".join([*code.changed, *([f"{code.others} other files"] if code.others else [])]),
    }
    return _fit(tags | _chain_tags(locks.chain, locks))


def version_tags(results: Results, chain: Chain, locks: Locks, code: Commit) -> dict[str, str]:
    """Tags of the model version: what MLflow's page of it shows first."""
    return _fit(_common(results, code) | _chain_tags(chain, locks))


def flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """``{"a": {"b": [1]}}`` as ``{"a.b": "[1]"}``: params.yaml as MLflow's parameters."""
    found: dict[str, str] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            found[names.clean(name)] = _cut(text, _PARAM_LIMIT)
    return found


def links(chain: Chain) -> str:
    """How the chain holds together, in one line."""
    joins = [link.join for link in chain.links]
    checked = sum(join in {Join.EXACT, Join.ASSEMBLED} for join in joins)
    parts = {
        "verified by hash": checked,
        "joined by path only": joins.count(Join.BY_PATH),
        "from outside": joins.count(Join.SOURCE),
        "BROKEN": joins.count(Join.BROKEN),
    }
    return ", ".join(f"{count} {what}" for what, count in parts.items() if count)


def _verdict(results: Results) -> str:
    best = results.best
    val, test = (summary.interval(best.metrics, side, "auroc") for side in ("val", "test"))
    how = f"validation AUROC {val}; on held-out patients {test}"
    said = f"**{best.name}** is the best recipe by validation: {how} (95 % interval)."
    return "\n\n".join([said, *(f"**Warning:** {warning}" for warning in results.warnings)])


def _comparison(results: Results) -> str:
    rows = [
        summary.comparison_row(r.name, r.metrics, r.training, r.cost.get("seconds"), r is results.best)
        for r in results.recipes
    ]
    return _table(summary.COMPARISON_HEADER, rows)


def _data(results: Results) -> str:
    cohort = results.cohort
    rows = []
    for subset in cohort.sides:
        frame = cohort.subset(subset).frame
        classes = [str(int((frame[f"label:{name}"] == 1).sum())) for name in cohort.classes]
        rows.append([subset.value, str(len(frame)), str(frame["patient"].nunique()), *classes])
    used = _table(["data", "images", "patients", *cohort.classes], rows)
    return f"{used}\n\n{_came_in(results.intake['total'])}"


def _came_in(counts: Counts) -> str:
    """What became of the files, for images that are missing from the table above it."""
    reasons = ", ".join(f"{files:,} {name}" for name, files in counts["reasons"].items())
    return f"Of {intake.words(counts)}{f': {reasons}' if reasons else ''}."


def _provenance(name: str, chain: Chain, code: Commit) -> str:
    where = f"commit `{code.commit}`" if code.commit else "code outside git"
    if code.dirty:
        where += f" **with {len(code.changed) + code.others} changed files** (git/changes.patch)"
    return (
        f"{name} `{chain.sha256}` on {where}. {len(chain.stages)} stages; dependencies: {links(chain)}. Below are the "
        f"first {_SHORT} characters of each hash (files: DVC's MD5; code, params: SHA-256); whole they are in the tags "
        "and in lineage.json."
    )


def _chain(chain: Chain, room: int) -> str:
    """The chain as a table, in as much detail as there is room for."""
    sized = [
        _row(stage, _files_cell(stage.inputs, sizes=True), _files_cell(stage.outputs, sizes=True))
        for stage in chain.stages
    ]
    gathered = [_row(stage, _gathered(stage.inputs), _gathered(stage.outputs)) for stage in chain.stages]
    detailed = [_row(stage, _files_cell(stage.inputs), _files_cell(stage.outputs)) for stage in chain.stages]
    outputs = [_row(stage, _count(stage.inputs), _files_cell(stage.outputs)) for stage in chain.stages]
    folded = [_folded(stages) for stages in _families(chain)]
    for rows in (sized, gathered, detailed, outputs, folded):
        table = _table(["stage", "code", "params", "reads", "writes"], rows)
        if len(table) <= room:
            return table
    return f"{len(chain.stages)} stages: see lineage.json."


def _row(stage: Stage, reads: str, writes: str) -> list[str]:
    code = f"`{stage.code_sha256[:_SHORT]}`" if stage.code else ""
    settings = f"`{stage.params_sha256[:_SHORT]}`" if stage.params else ""
    return [stage.label, code, settings, reads, writes]


def _folded(stages: Sequence[Stage]) -> list[str]:
    if len(stages) == 1:
        return _row(stages[0], _count(stages[0].inputs), _count(stages[0].outputs))
    inputs = [file for stage in stages for file in stage.inputs]
    outputs = [file for stage in stages for file in stage.outputs]
    return [f"{_family(stages[0])} x {len(stages)}", "", "", _count(inputs), _count(outputs)]


def _families(chain: Chain) -> list[list[Stage]]:
    families: dict[str, list[Stage]] = {}
    for stage in chain.stages:
        families.setdefault(_family(stage), []).append(stage)
    return list(families.values())


def _family(stage: Stage) -> str:
    return stage.label.partition("@")[0]


def _files_cell(files: Sequence[File], *, sizes: bool = False) -> str:
    said = {file: f" {text.size(file.size)}" for file in files if sizes and file.size is not None}
    return "<br>".join(f"{file.path} `{file.md5[:_SHORT]}`{said.get(file, '')}" for file in files)


def _gathered(files: Sequence[File]) -> str:
    """With sizes, and the plots of a folder in one line: what is drawn of a model is the first that can be left out."""
    folders: dict[str, list[File]] = {}
    for file in files:
        folders.setdefault(str(PurePosixPath(file.path).parent), []).append(file)
    plots = {folder: those for folder, those in folders.items() if folder.endswith("/plots") and len(those) > 1}
    others = [file for file in files if str(PurePosixPath(file.path).parent) not in plots]
    lines = [
        f"{folder}/ ({len(those)} files) {text.size(sum(file.size or 0 for file in those))}"
        for folder, those in plots.items()
    ]
    return "<br>".join([*([_files_cell(others, sizes=True)] if others else []), *lines])


def _count(files: Sequence[File]) -> str:
    return f"{len(files)} files" if len(files) > 1 else _files_cell(files)


def _common(results: Results, code: Commit) -> dict[str, str]:
    # MLflow shows a version's tags in the order of their names: these come before the long list of dvc.*
    frame, best = results.cohort.frame, results.best
    return {
        "best.architecture": str(best.training["architecture"]),
        "best.auroc.test": summary.interval(best.metrics, "test", "auroc"),
        "best.auroc.val": summary.interval(best.metrics, "val", "auroc"),
        "best.recipe": best.name,
        "best.strategy": str(best.params["strategy"]),
        "best.weights": str(best.params["weights"]),
        "warnings": " ".join(results.warnings),
        "code.commit": code.commit or "not in git",
        "code.dirty": "true" if code.dirty else "false",
        "data.batches": ", ".join(sorted(frame["batch"].unique())),
        "data.images": str(len(frame)),
        "data.patients": str(frame["patient"].nunique()),
        "model.sha256": best.sha256,
    }


def _chain_tags(chain: Chain, locks: Locks) -> dict[str, str]:
    whole = {"chain.sha256": chain.sha256, "chain.links": links(chain)}
    whole |= {f"chain.sha256.{path}": digest for path, digest in locks.sha256.items()}
    return whole | file_tags(chain)


def file_tags(chain: Chain) -> dict[str, str]:
    """A tag for every file that a stage of ``chain`` wrote or read: `dvc.out.PATH` and `dvc.dep.PATH`, its MD5."""
    made = {f"dvc.out.{file.path}": file.md5 for stage in chain.stages for file in stage.outputs}
    read = {f"dvc.dep.{file.path}": file.md5 for stage in chain.stages for file in (*stage.code, *stage.inputs)}
    return made | read


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return summary.table((header, rows), _PAD)


def _fit(tags: Mapping[str, str]) -> dict[str, str]:
    return {names.clean(key): _cut(value, _TAG_LIMIT) for key, value in tags.items() if value}


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 40]}... ({len(text)} characters in all)"
