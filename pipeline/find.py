"""From a pseudonymous key back to the files: for the data's owner, for paths can hold names."""

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from stages.artifacts import index
from stages.runtime import UserError

KINDS = ("instance", "series", "study", "patient", "file")
"""What a key of the index names; an image's key is its instance's, with the frame's number where there are several."""

COLUMNS = ["key", "kind", "batch", "status", "frame", "path"]

_KEY = re.compile(r"([0-9a-f]{8,32})(?:-([0-9]+))?")


def files(keys: Sequence[str], batches: Sequence[str]) -> pd.DataFrame:
    """A row for each file that one of ``keys`` names, in any batch: ``COLUMNS``, the path from the repository's top.

    A key may be cut short to 8 digits or more, as reports show it; all that begin so are listed. ``frame`` counts from
    0, and is empty where the key names no frame. Of a key without a file there is no row: see :func:`missing`.

    Raises
    ------
    UserError
        If a key is none, or a table that leads back is not here.
    """
    asked = [(key, *_parsed(key)) for key in keys]
    ways = pd.concat([_ways(batch) for batch in batches], ignore_index=True)
    found = []
    for key, digits, frame in asked:
        for kind in ("instance",) if frame else KINDS:
            matching = ways[ways[kind].str.startswith(digits)]
            found.append(matching.assign(key=key, kind=kind, frame=frame))
    return pd.concat(found)[COLUMNS].drop_duplicates(["key", "path"]).reset_index(drop=True)


def missing(keys: Sequence[str], found: pd.DataFrame) -> list[str]:
    """The keys that lead to no file."""
    return [key for key in dict.fromkeys(keys) if key not in set(found["key"])]


def _parsed(key: str) -> tuple[str, str]:
    matched = _KEY.fullmatch(key.strip().lower())
    if matched is None:
        raise UserError(f"'{key}' is no key: give 8 to 32 hexadecimal digits, as reports and tables show them")
    return matched[1], matched[2] or ""


def _ways(batch: str) -> pd.DataFrame:
    """Every file of a batch with the keys that lead to it, empty where it has none."""
    path = index.restricted_path(batch)
    if not path.exists():
        raise UserError(
            f"{path} is not here, and only it leads from a key to a file: ask the data's owner, or run "
            f"'dvc pull {path}' if your remote holds it"
        )
    known = index.read(batch)[["instance", "series", "study", "patient"]]
    ways = index.read_restricted(batch).merge(known, on="instance", how="left").fillna("")
    root = Path("data/raw") / batch
    return ways.assign(batch=batch, path=[(root / one).as_posix() for one in ways["path"]])
