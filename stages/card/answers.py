"""The author's words: a YAML mapping of keys of :data:`~stages.card.questions.QUESTIONS` to text."""

import difflib
from pathlib import Path

from stages import params
from stages.card.questions import QUESTIONS
from stages.runtime import UserError


def read(path: Path) -> dict[str, str]:
    """What was answered; a key without text is a question that still waits.

    Raises
    ------
    UserError
        If the file is missing, or is no mapping, or a key is none of the questions, or an answer is no text.
    """
    if not path.exists():
        raise UserError(
            f"{path} (card.answers) is not here: restore it ('git checkout -- {path}'), or correct the name"
        )
    content = params.load(path)
    found = {}
    for key, answer in content.items():
        if key not in QUESTIONS:
            close = difflib.get_close_matches(str(key), QUESTIONS, n=1)
            hint = f"is it '{close[0]}'?" if close else f"it is one of {', '.join(QUESTIONS)}"
            raise UserError(f"{path}: '{key}' is nothing that a card asks: {hint}")
        if answer is None:
            continue
        if not isinstance(answer, str) or not answer.strip():
            raise UserError(f"{path}: {key} is not a text: write words after '{key}: |', or nothing")
        found[key] = answer.strip()
    return found
