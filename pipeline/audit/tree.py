"""The chain as a tree: from the model down to the batches of DICOM, with counts and hashes."""

import json
from typing import Any

from pipeline import history, summary
from pipeline.audit import contents
from pipeline.audit.contents import Contents, batch_of
from pipeline.audit.record import Record, recipe_of
from pipeline.lineage import Chain, File, Stage, label
from pipeline.text import size
from pipeline.tracking import promotion
from pipeline.tracking.describe import links
from stages.artifacts import intake, model
from stages.runtime import UserError

_SHORT = 12  # characters of a hash in the tree; whole hashes are in --json


def content(record: Record) -> dict[str, Any]:
    """All of it as plain objects."""
    whole = chain(record)
    own = record.own(whole)
    recipe = recipe_of(own)
    sealed = history.sealed_by(own.stages, own.output(model.weights_path(recipe)).md5)
    judged = record.evaluation(recipe)
    return {
        "model": record.label,
        "aliases": list(record.aliases),
        "promotions": promotion.read(record.tags),
        "recipe": recipe,
        "auroc": {side: summary.estimate(judged, side, "auroc") for side in ("val", "test")},
        "model_sha256": record.tags.get("model.sha256"),
        "chain_sha256": own.sha256,
        "links": links(own),
        "run": record.run.id,
        "commit": record.commit or None,
        "changed": record.run.tags.get("code.changed"),
        "sealed_by": sealed or None,
        "sealed_at": history.date(sealed) if sealed else None,
        "data": {name: profile for name, (_, profile) in sorted(record.run.datasets.items())},
        "batches": batches(record, own),
        "stages": own.to_json()["stages"],
        "reads": {stage.name: _producers(own, stage) for stage in own.stages},
    }


def text(content: dict[str, Any]) -> str:
    """The same for people."""
    aliases = f" ({', '.join(content['aliases'])})" if content["aliases"] else ""
    sealed = f"{content['sealed_by'][:_SHORT]} of {content['sealed_at']}" if content["sealed_by"] else "no commit here"
    dirty = f" with changes to {content['changed']}" if content["changed"] else ""
    judged = {side: {"auroc": found} for side, found in content["auroc"].items()}
    auroc = ", ".join(f"AUROC on {side} {summary.interval(judged, side, 'auroc')}" for side in judged)
    head = [
        f"{content['model']}{aliases}: {content['recipe']}, {auroc}",
        f"  model    sha256 {content['model_sha256'] or 'unknown'}",
        f"  chain    sha256 {content['chain_sha256']}: {content['links']}",
        f"  code     commit {content['commit'] or 'outside git'}{dirty}",
        f"  sealed   {sealed}",
        f"  run      {content['run']} in MLflow",
    ]
    head += [
        f"  {one['what']:<8} {one['alias']}, {one['at']} by {one['by']}: {one['why']}" for one in content["promotions"]
    ]
    for side, profile in content["data"].items():
        classes = ", ".join(f"{count} {name}" for name, count in profile.get("images_by_class", {}).items())
        counts = f"{profile.get('images')} images of {profile.get('patients')} patients ({classes})"
        head.append(f"  {side:<8} {counts}, manifest {str(profile.get('manifest_sha256', ''))[:_SHORT]}")
    stages = {stage["name"]: stage for stage in content["stages"]}
    last = content["stages"][-1]["name"]
    return "\n".join([*head, "", *_branch(last, content, stages, "", set())])


def chain(record: Record) -> Chain:
    """The whole chain, from the locks, or from lineage.json where they cannot be read."""
    store = Contents(contents.claims(record.locks()))
    try:
        return record.from_locks(store.listing)
    except UserError:
        return record.told()  # what is wrong with the locks is for 'verify' to say


def _producers(own: Chain, stage: Stage) -> list[str]:
    """The stages that it read from, nearest first, each once."""
    order = [one.name for one in own.stages]
    found = {producer for link in own.links if link.stage == stage.name for producer in link.producers}
    return sorted(found, key=order.index, reverse=True)


def batches(record: Record, own: Chain) -> dict[str, dict[str, Any]]:
    """Of each batch: DVC's hash of its files, and what became of them."""
    try:
        counts = json.loads(record.run.text("intake.json"))["batches"]
    except (ValueError, KeyError, TypeError):
        counts = {}  # the run's artifact is gone: 'verify' says so
    found = {}
    for stage in own.stages:
        for file in (*stage.outputs, *stage.inputs):
            if batch := batch_of(file.path):
                found[batch] = {"path": file.path, "md5": file.md5, "size": file.size, "files": file.files}
                found[batch] |= {"intake": counts.get(batch, {})}
    return found


def _branch(name: str, content: dict[str, Any], stages: dict[str, Any], lead: str, seen: set[str]) -> list[str]:
    """A stage and what it wrote, then, further in, the stages that it read from; each stage is told once."""
    seen.add(name)
    stage = stages[name]
    about = [f"code {stage['code_sha256'][:8]}"] if stage["code"] else []
    about += [f"params {stage['params_sha256'][:8]}"] if stage["params"] else []
    lines = [f"{lead}{label(name)}  {', '.join(about)}".rstrip()]
    under = lead.replace("|- ", "|  ")
    for out in stage["outputs"]:
        lines.append(f"{under}|    {_file(File(**out))}")
        batch = content["batches"].get(batch_of(out["path"]), {})
        if batch.get("intake"):
            lines.append(f"{under}|      {_intake(batch['intake'])}")
    above = []
    for source in content["reads"][name]:
        if source in seen:
            above.append(label(source))
        else:
            lines += _branch(source, content, stages, f"{under}|- ", seen)
    return [*lines, f"{under}`- told above: {', '.join(above)}"] if above else lines


def _file(file: File) -> str:
    counts = [size(file.size)] if file.size is not None else []
    counts += [f"{file.files} files"] if file.files else []
    return (
        f"{file.path}  {file.md5[:_SHORT]}{'.dir' if file.md5.endswith('.dir') else ''}  {', '.join(counts)}".rstrip()
    )


def _intake(counts: Any) -> str:
    reasons = ", ".join(f"{files} {reason}" for reason, files in counts["reasons"].items())
    return f"{intake.words(counts)}{f': {reasons}' if reasons else ''}"
