"""The Prefect flow `rebuild`: what `dvc repro` does, with a task per stage.

It runs the same commands on the same files in the same order, so dvc.lock comes out the same. Prefect adds what DVC has
not: a page per run, logs kept by stage, what was cached, how long each took, a second try where that can help.
"""

import re
import sys
import time
from dataclasses import dataclass
from typing import Any

import httpx
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from pipeline import graph, lineage, subprocesses, summary
from pipeline.text import nameless
from pipeline.tracking import store
from stages.runtime import UserError

_TRIES_AGAIN = 2
_PAUSE_SECONDS = 15
_NOISE = re.compile(
    r"$|\t|To track the changes|To enable auto staging|Use `dvc push`|Generating lock|Updating lock|Data and pipelines"
)
UNCHANGED = "did not change"
_CACHED = {"didn't change, skipping": UNCHANGED, "is cached - skipping run": "restored from DVC's run cache"}


@dataclass(frozen=True)
class Done:
    """How one stage went."""

    stage: str
    state: State[Any]
    seconds: float


def run() -> State[Any]:
    """Run :func:`rebuild` here, with a server or without, and return how it ended.

    Raises
    ------
    UserError
        If Prefect's server cannot be reached, or its own cannot be started.
    """
    try:
        return rebuild(return_state=True)
    except (httpx.TransportError, RuntimeError) as error:
        raise UserError(
            f"Prefect cannot start the flow ({' '.join(str(error).split())}): start its server or unset "
            "PREFECT_API_URL; 'dvc repro' needs neither"
        ) from error


@flow(name="rebuild")
def rebuild() -> State[Any]:
    """Run every stage that `dvc repro` would, in its order; stop at the first that fails."""
    try:
        steps = graph.plan()
    except UserError as error:
        return Failed(message=str(error))
    done: list[Done] = []
    renewed: set[str] = set()
    for step in steps:
        label, started = lineage.label(step.name), time.monotonic()
        state = reproduce(step.name, label, step.stale or bool(step.upstream & renewed), return_state=True)
        done.append(Done(label, state, time.monotonic() - started))
        if not state.is_completed():
            break
        if state.message != UNCHANGED:
            renewed.add(step.name)
    went_well = all(item.state.is_completed() for item in done)
    create_markdown_artifact(
        key="rebuild",
        markdown=summary.markdown([(item.stage, item.state.message or "", item.seconds) for item in done], went_well),
        description="What ran, what was cached, and how the recipes compare",
    )
    if not went_well:
        return Failed(message=f"stopped at {done[-1].stage}: {done[-1].state.message}")
    ran = sum(item.state.name != "Cached" for item in done)
    return Completed(message=f"{ran} of {len(done)} stages ran, the others were cached")


def _may_pass(_task: object, _run: object, state: State[Any]) -> bool:
    """Only a server that is away for a moment is worth a second try; a user's mistake stays one."""
    return store.SILENT in (state.message or "")


@task(task_run_name="{label}", retries=_TRIES_AGAIN, retry_delay_seconds=_PAUSE_SECONDS, retry_condition_fn=_may_pass)
def reproduce(name: str, label: str, stale: bool) -> State[Any]:  # noqa: ARG001 - Prefect names the run by it
    """`dvc repro --single-item`: the stage, if anything it depends on changed. Every line goes to Prefect's log too.

    Where nothing can have changed (not ``stale``), DVC is not asked again: a second saved for each of many batches.
    """
    if not stale:
        return Completed(name="Cached", message=UNCHANGED)
    log, lines = get_run_logger(), list[str]()

    def say(line: str) -> None:
        line = nameless(line)
        lines.append(line)
        if not _NOISE.match(line):
            print(line, file=sys.stderr, flush=True)  # noqa: T201 - the terminal is where these lines belong
            log.info(line)

    status = subprocesses.stream(subprocesses.dvc("repro", "--single-item", name), say)
    if status != 0:
        return Failed(message=_reason(lines))
    for sign, message in _CACHED.items():
        if any(sign in line for line in lines):
            return Completed(name="Cached", message=message)
    return Completed(message="ran")


def _reason(lines: list[str]) -> str:
    """The stage's own one-line error, or else DVC's."""
    own = [line.partition(": error: ")[2] for line in lines if ": error: " in line]
    of_dvc = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (own or of_dvc or ["it failed without a word: see the lines above"])[-1]
