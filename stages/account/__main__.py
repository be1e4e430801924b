"""``python -m stages.account``: reports/intake.json, and reports/intake_total.json for ``dvc metrics``."""

from stages import params, runtime
from stages.account import counting
from stages.artifacts import images, index, intake, quarantine


def main() -> None:
    """Index, images and both quarantines of every batch -> what became of the files."""
    batches = {
        batch: counting.count(
            index.read(batch),
            quarantine.read(index.quarantine_path(batch)),
            images.rows(batch),
            quarantine.read(images.quarantine_path(batch)),
        )
        for batch in params.read("batches", list[str])
    }
    total = counting.total(batches.values())
    intake.write({"batches": batches, "total": total})
    runtime.log.info("%s", intake.words(total))


if __name__ == "__main__":
    runtime.run("account", main)
