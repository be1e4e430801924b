"""The table in docs/decoders.md is the one in the code."""

import re
import sys
from pathlib import Path

from pydicom import uid

from stages.preprocess import codecs

ROOT = Path(__file__).resolve().parents[3]
LOCKED_FOR = (3, 11)


def test_the_documentation_lists_every_decoder_with_its_version() -> None:
    text = (ROOT / "docs/decoders.md").read_text(encoding="utf-8")
    listed = [line for line in text.splitlines() if line.startswith("|") and "| 1.2.840.10008." in line]
    found = [
        f"| {uid.UID(syntax).name} | {syntax} | {codecs.name(syntax)} | {codecs.name(syntax, 3)} |"
        for syntax in codecs.CODECS
    ]

    if sys.version_info[:2] == LOCKED_FOR:
        assert listed == found
    else:  # requirements.lock has other versions of some packages for it
        assert [_nameless(line) for line in listed] == [_nameless(line) for line in found]


def _nameless(line: str) -> str:
    """Without versions; the transfer syntax's UID stands before them."""
    start, end = line.split("| 1.2.840.", 1)
    return start + re.sub(r" [\d.]+(/[\d.]+)?", "", end)
