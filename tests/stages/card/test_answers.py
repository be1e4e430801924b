"""The author's words are read as they are, and a slip is one line that says what to do."""

from pathlib import Path

import pytest

from stages.card import answers
from stages.runtime import UserError


def read(text: str, folder: Path) -> dict[str, str]:
    (folder / "card.yaml").write_text(text, encoding="utf-8")
    return answers.read(folder / "card.yaml")


def test_a_key_without_text_is_not_an_answer(tmp_path: Path) -> None:
    assert read("owner:\ncontact: someone@example.org\nfunding: |\n  None.\n  None at all.\n", tmp_path) == {
        "contact": "someone@example.org",
        "funding": "None.\nNone at all.",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fundings: x\n", "'fundings' is nothing that a card asks: is it 'funding'?"),
        ("zzz: x\n", "'zzz' is nothing that a card asks: it is one of owner, contact"),
        ("owner: 3\n", "owner is not a text: write words after 'owner: |', or nothing"),
        ("owner: [a, b]\n", "owner is not a text"),
        ("owner: '  '\n", "owner is not a text"),
        ("just words\n", "must hold names and values"),
        ("owner: 'a\n", "is not valid YAML"),
    ],
)
def test_a_slip_is_named(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        read(text, tmp_path)
    assert said in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"card.yaml \(card.answers\) is not here: restore it"):
        answers.read(tmp_path / "card.yaml")
