"""``python -m stages.check``: refuses a faulty params.yaml before any work."""

from pathlib import Path

from stages import params, runtime
from stages.card import answers
from stages.check import presence
from stages.check.params import Params


def main() -> None:
    """Check; the output never changes, so that it makes nothing stale."""
    given = params.validate(params.load(), Params, str(params.PATH))
    presence.require(given)
    presence.refuse_leftovers(given)
    answers.read(Path(given.card.answers))  # no dependency: new words would be in the lineage of every model
    with runtime.atomic_file(Path("data/check.txt")) as beside:
        beside.write_text("params.yaml was checked before any work.\n", encoding="utf-8")


if __name__ == "__main__":
    runtime.run("check", main)
