"""The content of a card: see :mod:`stages.artifacts.card`."""

from collections.abc import Mapping, Sequence
from typing import Any

from stages.card import about_results, claim, facts, sections
from stages.card.facts import Facts, Said
from stages.card.questions import QUESTIONS
from stages.card.sections import Point, Section
from stages.card.statements import STATEMENTS

FILLED, AUTHOR = "filled", "author"


def build(found: Facts, answers: Mapping[str, str]) -> dict[str, Any]:
    """Facts and the author's ``answers`` as one card, JSON-able."""
    told = sections.sections(found)
    told_json = [
        {
            "title": section.title,
            "points": [_point(point, answers) for point in section.points],
            "tables": [table._asdict() for table in section.tables],
        }
        for section in told
    ]
    items = [_item(item, found, told, answers) for item in claim.ITEMS]
    return {
        "model": {
            "recipe": found.recipe,
            "sha256": found.sha256,
            "architecture": found.training["architecture"],
            "task": found.cohort.task.value,
            "classes": list(found.cohort.classes),
            "best": found.comparison["best"] == found.recipe,
        },
        "summary": about_results.abstract(found).text,
        "metrics": {
            **{
                side: facts.metrics(found.evaluation[side])
                for side in ("val", "test", "external")
                if side in found.evaluation
            },
            "thresholds": found.evaluation["thresholds"],
        },
        "sections": told_json,
        "claim": items,
        "asked": _asked(items, told_json),
        "references": [sections.REFERENCE, claim.REFERENCE],
    }


def _item(item: claim.Item, found: Facts, told: Sequence[Section], answers: Mapping[str, str]) -> dict[str, Any]:
    said = STATEMENTS[item.number](found) if item.number in STATEMENTS else Said("", whole=False)
    head = {"number": item.number, "section": item.section, "title": item.title, "stands": _stands(said.text, told)}
    return head | _told(said, item.questions, answers)


def _stands(text: str, told: Sequence[Section]) -> str:
    """The section and point that say the same, so that nobody reads it twice; empty if none does."""
    for section in told:
        for point in section.points:
            if text and point.said and point.said.text == text:
                return f"{section.title}: {point.name}"
    return ""


def _point(point: Point, answers: Mapping[str, str]) -> dict[str, Any]:
    said = point.said or Said("", whole=False)
    return {"name": point.name, **_told(said, (point.question,) if point.question else (), answers)}


def _told(said: Said, questions: Sequence[str], answers: Mapping[str, str]) -> dict[str, Any]:
    """``text`` is the pipeline's, ``answer`` the author's, ``waiting`` the questions that are still theirs."""
    waiting = [] if said.whole else [name for name in questions if name not in answers]
    given = [answers[name] for name in questions if name in answers]
    return {
        "status": AUTHOR if waiting else FILLED,
        "text": said.text,
        "answer": "\n\n".join(given),
        "waiting": waiting,
    }


def _asked(items: Sequence[Mapping[str, Any]], told: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The questions that wait, in the order of the answers' file, and what they are for."""
    asked = []
    for name, expected in QUESTIONS.items():
        serves = [f"CLAIM {item['number']}" for item in items if name in item["waiting"]]
        serves += [section["title"] for section in told if any(name in point["waiting"] for point in section["points"])]
        if serves:
            asked.append({"question": name, "expected": expected, "serves": serves})
    return asked
