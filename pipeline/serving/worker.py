"""``python -P -m pipeline.serving.worker <folder> <version>``: answers for ``radrepro predict``, by its own code.

Reads a list of paths as JSON, writes a line of JSON for each: its rows (:mod:`pipeline.serving.columns`).
"""

import json
import logging
import sys
import warnings
from pathlib import Path

from pipeline.serving import columns
from pipeline.serving.predictor import Predictor
from stages.runtime import UserError, die_with_parent


def main() -> None:
    """Answer, one file after the other."""
    die_with_parent()
    warnings.simplefilter("ignore")
    logging.basicConfig(level=logging.ERROR)
    try:
        predictor = Predictor.load(Path(sys.argv[1]))
        for number, result in enumerate(predictor.files(json.load(sys.stdin))):
            rows = columns.rows(number, result, predictor.classes, predictor.spec, sys.argv[2])
            sys.stdout.write(json.dumps(list(rows)) + "\n")
            sys.stdout.flush()
    except UserError as error:
        sys.stderr.write(f"{' '.join(str(error).split())}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
