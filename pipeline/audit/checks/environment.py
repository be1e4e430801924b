"""The packages that were installed, against those that are."""

import json
import re
from collections.abc import Iterator

from pipeline import history
from pipeline.audit.links import Link, State, link
from pipeline.audit.record import Record
from pipeline.tracking import workspace

_PINNED = re.compile(r"^([A-Za-z0-9][\w.\-]*)==([^\s;\\]+)", re.MULTILINE)
_MOST_NAMED = 3


def packages(record: Record) -> Iterator[Link]:
    """What requirements.lock pins (or all, where there was none): the versions of then and of here."""
    try:
        then = json.loads(record.run.text("environment/packages.json"))
        packages: dict[str, str] = {_canonical(name): version for name, version in then["packages"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        yield Link("environment", "packages.json", State.BROKEN, "the file that MLflow holds is missing or damaged")
        return
    pinned = record.run.text("environment/requirements.lock")
    if pinned and history.has(record.commit):
        in_git = history.file(record.commit, "requirements.lock")
        same = in_git == pinned.encode() or "requirements.lock" in record.run.tags.get("code.changed", "")
        yield link("environment", "requirements.lock", same, f"commit {record.commit[:12]} has another", "as in git")
    names = {_canonical(name) for name, _ in _PINNED.findall(pinned)} & set(packages) or set(packages)
    here = workspace.environment()
    now = {_canonical(name): version for name, version in here["packages"].items()}
    other = [
        f"{name} {packages[name]}, here {now.get(name, 'none')}"
        for name in sorted(names)
        if packages[name] != now.get(name)
    ]
    if then.get("python") != here["python"]:
        other.insert(0, f"Python {then.get('python')}, here {here['python']}")
    if other:
        named = "; ".join(other[:_MOST_NAMED])
        said = f"{len(other)} differ here ({named}): 'make install' at commit {record.commit[:12]} makes the same"
        yield Link("environment", "packages", State.ABSENT, said)
    else:
        yield Link("environment", "packages", State.OK, f"Python and {len(names)} packages are the same here")


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()  # as PEP 503 compares names
