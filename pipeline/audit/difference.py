"""What changed between two registered models: data, parameters, code, environment, result."""

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from pipeline import summary
from pipeline import text as words
from pipeline.audit import contents, tree
from pipeline.audit.contents import Contents
from pipeline.audit.record import Record
from pipeline.lineage import Chain
from stages.artifacts import cohort
from stages.artifacts.cohort import Cohort

_SHOWN = 10
"""Of a list, for people; --json has all of it."""


def content(a: Record, b: Record) -> dict[str, Any]:
    """All differences from ``a`` to ``b`` as plain objects."""
    chains = [record.own(tree.chain(record)) for record in (a, b)]
    return {
        "a": a.label,
        "b": b.label,
        "same_model": a.tags.get("model.sha256") == b.tags.get("model.sha256"),
        "same_chain": chains[0].sha256 == chains[1].sha256,
        "recipe": _pair(a.tags.get("best.recipe"), b.tags.get("best.recipe")),
        "data": _data(a, b, *chains),
        "params": _mappings(_typed(a.run.params), _typed(b.run.params)),
        "code": {
            "commit": _pair(a.commit or None, b.commit or None),
            "files": _mappings(
                *[{file.path: file.md5 for stage in one.stages for file in stage.code} for one in chains]
            ),
        },
        "environment": _mappings(*[_packages(record) for record in (a, b)]),
        "result": _results(a, b),
    }


def text(content: dict[str, Any]) -> str:
    """The same for people."""
    if content["same_chain"]:
        return f"{content['a']} and {content['b']} have the same chain: the same data, code, parameters and model"
    same = "the same model, byte for byte" if content["same_model"] else "another model"
    lines = [f"{content['a']} -> {content['b']}: {same}"]
    recipe = content["recipe"]
    if recipe["a"] != recipe["b"]:
        lines.append(f"recipe       {recipe['a']} -> {recipe['b']}")
    data = content["data"]
    lines += [f"{'data':<12} {line}" for line in data["said"]] or [f"{'data':<12} the same"]
    for name, found in (("batches", data["batches"]), ("params", content["params"])):
        lines += _changes(name, found)
    commits = content["code"]["commit"]
    lines += _changes("code", content["code"]["files"])
    if commits["a"] and commits["b"] and commits["a"] != commits["b"] and content["code"]["files"]:
        lines.append(f"             git diff {commits['a'][:12]} {commits['b'][:12]} -- stages pipeline")
    lines += _changes("environment", content["environment"])
    rows = [_result(name, one) for name, one in content["result"].items()]
    lines += ["", words.table(["test", content["a"], content["b"], "change"], rows)]
    return "\n".join(
        [*lines, "", f"'radrepro compare {content['a']} {content['b']}' says whether that is more than chance"]
    )


def _pair(a: Any, b: Any) -> dict[str, Any]:
    return {"a": a, "b": b}


def _mappings(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What differs, by key; None where one has no such key."""
    return {key: _pair(a.get(key), b.get(key)) for key in sorted({*a, *b}) if a.get(key) != b.get(key)}


def _changes(name: str, found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if not found:
        return [f"{name:<12} the same"]
    lines = [f"{name:<12} {len(found)} changed"]
    for key, one in list(found.items())[:_SHOWN]:
        a, b = ("-" if value is None else _plain(value)[:40] for value in (one["a"], one["b"]))
        lines.append(f"  {key}: {a} -> {b}")
    return [*lines, f"  ... {len(found) - _SHOWN} more: --json"] if len(found) > _SHOWN else lines


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _packages(record: Record) -> dict[str, str]:
    try:
        kept = json.loads(record.run.text("environment/packages.json"))
        return {"python": kept["python"], **kept["packages"]}
    except (ValueError, KeyError, TypeError):
        return {}  # 'verify' says that it is gone


def _data(a: Record, b: Record, chain_a: Chain, chain_b: Chain) -> dict[str, Any]:
    batches = [
        {name: batch["md5"] for name, batch in tree.batches(*pair).items()} for pair in ((a, chain_a), (b, chain_b))
    ]
    found: dict[str, Any] = {"batches": _mappings(*batches), "said": []}
    cohorts = [_cohort(record, own) for record, own in ((a, chain_a), (b, chain_b))]
    if chain_a.output(cohort.PATH).md5 == chain_b.output(cohort.PATH).md5:
        return found
    if cohorts[0] is None or cohorts[1] is None:
        lacking = a.label if cohorts[0] is None else b.label
        found["said"].append(f"the cohort of {lacking} is neither here nor in DVC's cache: 'dvc pull' tells more")
        for side in sorted({*a.run.datasets, *b.run.datasets}):
            counts = [record.run.datasets.get(side, ("", {}))[1].get("images") for record in (a, b)]
            found["said"].append(f"{side}: {counts[0]} -> {counts[1]} images")
        return found
    return found | compare(cohorts[0], cohorts[1])


def compare(a: Cohort, b: Cohort) -> dict[str, Any]:
    """Patients and images in and out; images relabelled, rendered otherwise, on another side; and a line for each."""
    images = [frame.set_index("image") for frame in (a.frame, b.frame)]
    both = images[0].index.intersection(images[1].index)
    left, right = images[0].loc[both], images[1].loc[both]
    classes = [name for name in a.classes if name in b.classes]
    columns = [f"label:{name}" for name in classes]
    relabelled = both[~_equal(left[columns], right[columns]).all(axis=1)]
    lists = {
        "patients_in": sorted(set(b.frame["patient"]) - set(a.frame["patient"])),
        "patients_out": sorted(set(a.frame["patient"]) - set(b.frame["patient"])),
        "images_in": sorted(set(images[1].index) - set(both)),
        "images_out": sorted(set(images[0].index) - set(both)),
        "relabelled": sorted(relabelled),
        "other_pixels": sorted(both[left["pixel_sha256"] != right["pixel_sha256"]]),
        "other_side": sorted(both[left["subset"] != right["subset"]]),
    }
    said = [f"{name.replace('_', ' ')}: {_listed(keys)}" for name, keys in lists.items() if keys]
    if a.classes != b.classes:
        said.append(f"classes: {', '.join(a.classes)} -> {', '.join(b.classes)}")
    return {**lists, "classes": _pair(list(a.classes), list(b.classes)), "said": said}


def _listed(keys: list[str]) -> str:
    return f"{len(keys)} ({', '.join(keys[:2])}{', ...' if len(keys) > 2 else ''})"  # noqa: PLR2004 - two, then dots


def _equal(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    return (a == b) | (a.isna() & b.isna())  # unknown is unknown


def _cohort(record: Record, own: Chain) -> Cohort | None:
    store = Contents(contents.claims(record.locks()))
    path = store.path(own.output(cohort.PATH))
    return Cohort.read(path) if path else None


def _results(a: Record, b: Record) -> dict[str, dict[str, Any]]:
    """Each metric on test, ``value``, ``low`` and ``high``, and how much the value changed; None for none."""
    judged = [record.evaluation(record.tags.get("best.recipe", "")) for record in (a, b)]
    found = {}
    names = [name for one in judged for name, value in one.get("test", {}).items() if isinstance(value, dict)]
    for name in dict.fromkeys(names):
        pair = [summary.estimate(one, "test", name) for one in judged]
        values = [one["value"] if one else None for one in pair]
        if values[0] is None and values[1] is None:
            continue
        change = None if values[0] is None or values[1] is None else values[1] - values[0]
        found[name] = {**_pair(*pair), "change": change}
    return found


def _result(name: str, found: Mapping[str, Any]) -> list[str]:
    """A metric's row for people."""
    shown = [summary.interval({"test": {name: found[which]}}, "test", name) for which in ("a", "b")]
    return [name, *shown, "" if found["change"] is None else f"{found['change']:+.3f}"]


def _typed(params: Mapping[str, str]) -> dict[str, Any]:
    """MLflow keeps parameters as text: numbers, lists and none as what they were in params.yaml."""
    found: dict[str, Any] = {}
    for key, said in params.items():
        try:
            found[key] = json.loads(said)
        except ValueError:
            found[key] = said
    return found
