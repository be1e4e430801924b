"""The commands `radrepro audit`, `verify`, `rebuild`, `diff` and `promote`. Each imports what it needs when it runs."""

import json
import sys
from typing import Annotated, Any

import typer

Model = Annotated[
    str,
    typer.Argument(
        metavar="[MODEL]", help="NAME, NAME@alias or NAME/version in MLflow's registry; by default this project's."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="For machines.")]
Paths = Annotated[
    bool, typer.Option("--paths", help="Name files within a batch. For the data's owner: paths can hold names.")
]

COULD_NOT_RUN = 3
"""Exit status of `verify` where nothing was verified: 1 says that a link is broken."""


def register(app: typer.Typer) -> None:
    """Add them to ``app``."""
    for command in (audit, verify, rebuild, diff, promote):
        app.command()(command)


def audit(
    model: Model = "",
    image: Annotated[str, typer.Option(help="A key of an image or a file: show its way in.")] = "",
    paths: Paths = False,
    as_json: Json = False,
) -> None:
    """Show what a registered model rests on, down to its batches of DICOM."""
    from pipeline.audit import images, record, tree  # noqa: PLC0415

    with record.opened(model) as found:
        if image:
            way = images.way(found, image, paths=paths)
            _say(way, images.text(way), as_json=as_json)
        else:
            content = tree.content(found)
            _say(content, tree.text(content), as_json=as_json)


def verify(
    model: Model = "",
    every: Annotated[bool, typer.Option("--all", help="Name every link, also those that hold.")] = False,
    paths: Paths = False,
    as_json: Json = False,
) -> None:
    """Recompute every hash from a registered model to the DICOM.

    Exit status: 0 all hold, 1 broken, 2 not all here, 3 it could not run.
    """
    from pipeline.audit import record, tell  # noqa: PLC0415
    from pipeline.audit.verify import verdict  # noqa: PLC0415
    from pipeline.audit.verify import verify as recompute  # noqa: PLC0415

    with record.opened(model) as found:
        links = recompute(found, paths=paths)
    status = verdict(links)
    content = {"model": found.label, "exit_status": status, "links": [one.to_json() for one in links]}
    _say(content, tell.links(found.label, links, every=every), as_json=as_json)
    sys.exit(status)


def rebuild(
    model: Model = "",
    keep: Annotated[bool, typer.Option("--keep", help="Leave the rebuilt copy in .radrepro/rebuild/.")] = False,
    as_json: Json = False,
) -> None:
    """Run everything anew in a copy of the commit, and compare each stage's bytes. Exit status: 0 identical, 1 not."""
    from pipeline.audit import rebuilding, record  # noqa: PLC0415

    with record.opened(model) as found:
        outcome = rebuilding.rebuild(found, keep=keep)
    _say(outcome.to_json(), rebuilding.text(outcome), as_json=as_json)
    sys.exit(0 if outcome.identical else 1)


def diff(
    model_a: Annotated[str, typer.Argument(help="As in 'audit'.")],
    model_b: Annotated[str, typer.Argument(help="As in 'audit'.")],
    as_json: Json = False,
) -> None:
    """Show what changed between two registered models: data, parameters, code, environment, result."""
    from pipeline.audit import difference, record  # noqa: PLC0415

    with record.several([model_a, model_b]) as (a, b):
        content = difference.content(a, b)
    _say(content, difference.text(content), as_json=as_json)


def promote(
    model: Annotated[str, typer.Argument(help="The version: NAME/version or NAME@alias; NAME alone as in 'audit'.")],
    why: Annotated[str, typer.Option(help="The reason, kept with the version for whoever audits it.")],
    alias: Annotated[str, typer.Option(help="What it becomes.")] = "champion",
) -> None:
    """Make a registered version the champion, and keep who did it, when and why, on it and on the one before."""
    from pipeline.audit import record  # noqa: PLC0415
    from pipeline.tracking import promotion  # noqa: PLC0415

    with record.connected() as client:
        typer.echo(promotion.promote(client, model, alias, why))


def _say(content: Any, words: str, *, as_json: bool) -> None:
    typer.echo(json.dumps(content, indent=2) if as_json else words)
