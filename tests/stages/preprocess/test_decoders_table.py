"""The table in docs/decoders.md is the one in the code."""

from pathlib import Path

from pydicom import uid

from stages.preprocess import codecs

ROOT = Path(__file__).resolve().parents[3]


def test_the_documentation_lists_every_decoder_with_its_version() -> None:
    text = (ROOT / "docs/decoders.md").read_text(encoding="utf-8")
    listed = [line for line in text.splitlines() if line.startswith("|") and "| 1.2.840.10008." in line]

    assert listed == [
        f"| {uid.UID(syntax).name} | {syntax} | {codecs.name(syntax)} | {codecs.name(syntax, 3)} |"
        for syntax in codecs.CODECS
    ]
