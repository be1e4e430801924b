"""The command `radrepro`. Each command imports what it needs when it runs, so that the help comes at once."""

import logging
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from pipeline import environment
from pipeline.audit import commands as audit
from stages.runtime import UserError

app = typer.Typer(
    help="From folders of DICOM to an audited classifier. 'dvc repro' rebuilds; these commands do what DVC does not.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Port = Annotated[int, typer.Option(min=1, max=65535)]


def main() -> None:
    """Run a command; a user's mistake is one line, not a traceback."""
    environment.prepare()
    log = logging.getLogger("radrepro")  # not the root logger: Prefect and MLflow would speak through it too
    log.addHandler(logging.StreamHandler())
    log.setLevel(logging.INFO)
    failed = audit.COULD_NOT_RUN if sys.argv[1:2] == ["verify"] else 1
    try:
        app()
    except UserError as error:
        typer.echo(f"radrepro: error: {' '.join(str(error).split())}", err=True)
        sys.exit(failed)
    except KeyboardInterrupt:
        sys.exit(130)  # as shells say "interrupted"
    except Exception:  # noqa: BLE001 - said whole; only the status is ours: 1 would be 'verify' calling a model broken
        traceback.print_exc()
        sys.exit(failed)


@app.callback()
def _at_the_top() -> None:
    if not Path("dvc.yaml").exists():
        raise UserError("dvc.yaml is not here: change to the top of the repository")


@app.command()
def run() -> None:
    """Run the pipeline as a Prefect flow: what 'dvc repro' does, with a page per run (see 'radrepro ui')."""
    from pipeline import flows  # noqa: PLC0415 - Prefect takes a second

    state = flows.run()
    if not state.is_completed():
        raise UserError(state.message)
    typer.echo(f"{state.message}; 'radrepro results' shows what came out")


@app.command()
def results() -> None:
    """Compare the recipes, and say where the report and the MLflow page are."""
    from pipeline import summary, text  # noqa: PLC0415
    from stages import runtime  # noqa: PLC0415
    from stages.artifacts import evaluation, intake  # noqa: PLC0415

    header, rows = summary.recipes()
    typer.echo(text.table(header, [[cell.replace("**", "") for cell in row] for row in rows]))
    typer.echo(f"\ndata     {intake.words(intake.read()['total'])} (see 'radrepro quarantine')")
    compared = runtime.read_json(evaluation.COMPARISON_PATH)
    typer.echo(f"test     has judged {compared['test_looks']} models so far (reports/test_looks.csv)")
    for warning in compared["warnings"]:
        typer.echo(f"WARNING  {warning}")
    typer.echo(f"report   {evaluation.COMPARISON_REPORT_PATH.resolve().as_uri()}")
    if summary.LAST_RUN.exists():
        last = summary.last_run()
        typer.echo(f"model    {last['version']} in MLflow's registry ({last['store']})")
        typer.echo("MLflow   make ui         opens this run in a browser")


@app.command()
def sweep(
    recipe: Annotated[str, typer.Argument(help="The recipe whose settings are searched.")],
    where: Annotated[
        list[str],
        typer.Option(
            "--set",
            help="A parameter and where to look, once for each: lr=loguniform:1e-4,1e-1 (or uniform, int, logint), "
            "optimizer=choice:sgd,adamw. A name of the recipe's, or from the top: preprocess.size=choice:96,128.",
        ),
    ],
    trials: Annotated[int, typer.Option(min=1, help="How many in all, with those of before.")] = 20,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    apply: Annotated[bool, typer.Option("--apply", help="Write the winner's values into params.yaml.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Forget the trials of before.")] = False,
) -> None:
    """Search a recipe's settings: trials are DVC experiments judged on val, elsewhere; test is not looked at."""
    from pipeline.sweep import outcome, search, space  # noqa: PLC0415

    dimensions = space.read(where, recipe)
    if restart:
        search.forget(recipe)
    try:
        study = search.search(recipe, dimensions, trials, seed)
    except KeyboardInterrupt:
        typer.echo("stopped: the same command goes on from here", err=True)
        raise
    typer.echo(outcome.report(study))
    typer.echo(outcome.apply(study, dimensions) if apply else outcome.HOW_TO_APPLY)


@app.command()
def predict(
    model: Annotated[
        str,
        typer.Argument(
            help="A registered model: radrepro (its champion, else its newest), radrepro/3, radrepro@alias."
        ),
    ],
    paths: Annotated[list[Path], typer.Argument(help="DICOM files, or folders of them.", metavar="FILES...")],
    out: Annotated[str, typer.Option(help="csv, json or dicom-sr.")] = "csv",
    to: Annotated[
        Path | None, typer.Option(help="The file (or folder of reports) to write; else the terminal.")
    ] = None,
) -> None:
    """Ask a registered model about DICOM files."""
    from pipeline.serving import command  # noqa: PLC0415

    if out not in list(command.Form):
        raise UserError(f"--out is one of {', '.join(command.Form)}")
    typer.echo(command.predict(model, paths, command.Form(out), to), err=True)


@app.command()
def compare(
    first: Annotated[str, typer.Argument(help="A recipe, or a registered model: NAME, NAME/version or NAME@alias.")],
    second: Annotated[str, typer.Argument(help="What it is compared with, named likewise.")],
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Compare two models on the test images that both were judged on: is a difference more than chance?"""
    import json  # noqa: PLC0415

    from pipeline import contenders, versus  # noqa: PLC0415

    found = versus.compare(*contenders.read(first, second))
    typer.echo(json.dumps(found, indent=2) if as_json else versus.words(found))


@app.command("add-batch")
def add_batch(
    name: Annotated[str, typer.Argument(help="What to call the batch: it names files and stages.")],
    path: Annotated[Path, typer.Argument(help="The folder of DICOM, of any layout.")],
    labels: Annotated[Path, typer.Option(help="The table of labels (CSV) that goes with it.")],
) -> None:
    """Put a folder of DICOM under DVC as a new batch, and check that its labels fit."""
    from pipeline import batches  # noqa: PLC0415

    typer.echo(batches.add_batch(name, path, labels))


@app.command()
def tidy() -> None:
    """Remove results of batches and recipes that params.yaml no longer names."""
    from pipeline import batches  # noqa: PLC0415

    typer.echo(batches.tidy())


@app.command()
def check() -> None:
    """Check params.yaml, the batches, labels and the key, without running anything."""
    done = subprocess.run([sys.executable, "-m", "stages.check"], check=False)
    if done.returncode != 0:
        sys.exit(done.returncode)
    typer.echo("params.yaml is sound, and what it names is there")


@app.command()
def track() -> None:
    """Log the results to MLflow once more: to another server, for example."""
    from pipeline import subprocesses  # noqa: PLC0415

    sys.exit(subprocesses.stream(subprocesses.dvc("repro", "--single-item", "--force", "track"), typer.echo))


@app.command()
def quarantine(
    batch: Annotated[str | None, typer.Argument(help="One batch; all of them if left out.")] = None,
    paths: Annotated[
        bool, typer.Option("--paths", help="List every file with its path. For the data's owner: paths can hold names.")
    ] = False,
) -> None:
    """Show which files are not used, why, and what to do."""
    import pandas as pd  # noqa: PLC0415

    from pipeline import quarantine as files  # noqa: PLC0415
    from pipeline import text  # noqa: PLC0415
    from stages import params  # noqa: PLC0415

    names = [batch] if batch else params.read("batches", list[str])
    rejected = pd.concat([files.rejected(name) for name in names], ignore_index=True)
    if rejected.empty:
        typer.echo("every file was accepted")
    elif paths:
        found = files.with_paths(rejected, names)[["batch", "stage", "reason", "detail", "path"]]
        typer.echo(found.to_csv(index=False), nl=False)
    else:
        typer.echo(text.table(["batch", "stage", "reason", "files", "what to do"], files.counts(rejected)))


@app.command()
def find(
    keys: Annotated[list[str], typer.Argument(help="Of images, studies, patients or files; 8 digits are enough.")],
) -> None:
    """Lead from pseudonymous keys back to the files. For the data's owner: paths can hold names."""
    from pipeline import find as ways  # noqa: PLC0415
    from stages import params  # noqa: PLC0415

    found = ways.files(keys, params.read("batches", list[str]))
    if not found.empty:
        typer.echo(found.to_csv(index=False), nl=False)
    if lost := ways.missing(keys, found):
        raise UserError(f"no file of these batches has the key {', '.join(lost)}: is it of this project?")


@app.command()
def times() -> None:
    """Show what each stage last cost on this machine: seconds, and peak memory."""
    from pipeline import text  # noqa: PLC0415
    from stages.runtime import records  # noqa: PLC0415

    rows = [[name, f"{cost['seconds']:.1f}", f"{cost['peak_mib']:.0f}"] for name, cost in records().items()]
    if not rows:
        raise UserError("nothing ran here yet: run 'dvc repro'")
    typer.echo(text.table(["stage", "seconds", "peak MiB"], rows))


@app.command()
def ui(
    mlflow_port: Port = 5000,
    prefect_port: Port = 4200,
    browser: Annotated[bool, typer.Option("--open", help="Open the last run in a browser.")] = False,
) -> None:
    """Open MLflow and Prefect on this machine, until Ctrl-C."""
    import webbrowser  # noqa: PLC0415

    from pipeline import servers, summary  # noqa: PLC0415
    from pipeline.tracking import store  # noqa: PLC0415

    mlflow, prefect = servers.mlflow(mlflow_port), servers.prefect(prefect_port)
    last = mlflow.address
    if summary.LAST_RUN.exists() and summary.last_run()["store"] == store.shown(store.uri()):
        last += summary.last_run()["path"]  # a run that was tracked elsewhere has no page there

    def ready() -> None:
        typer.echo(f"MLflow   {last}\nPrefect  {prefect.address}\nCtrl-C stops them")
        if browser:
            webbrowser.open(last)

    typer.echo("starting, in about ten seconds...")
    try:
        servers.serve([mlflow, prefect], ready)
    except KeyboardInterrupt:
        typer.echo("stopped")


audit.register(app)


if __name__ == "__main__":
    main()
