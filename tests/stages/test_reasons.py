"""The table in docs/quarantine.md is the one in the code."""

import re

from stages.reasons import DUPLICATES, Reason
from tests.conftest import ROOT


def _documented() -> dict[str, list[str]]:
    """Reason to its other cells."""
    text = (ROOT / "docs/quarantine.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.+) \|$", text, flags=re.MULTILINE)
    found = {name: cells.split(" | ") for name, cells in rows}
    assert len(found) == len(rows), "a reason is there twice"
    return found


def test_the_documentation_names_every_reason_and_no_other_in_the_order_of_the_code() -> None:
    assert list(_documented()) == [reason.name for reason in Reason]


def test_what_to_do_is_said_in_the_same_words() -> None:
    assert {name: cells[2] for name, cells in _documented().items()} == {reason.name: reason.value for reason in Reason}


def test_a_reason_names_the_stages_that_give_it() -> None:
    for name, (meaning, stage, _) in _documented().items():
        assert meaning.endswith(".")
        assert set(stage.split(", ")) <= {"ingest", "preprocess", "predict"}, name
    assert {_documented()[reason.name][1] for reason in DUPLICATES} == {"ingest"}
