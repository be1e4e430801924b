"""Who is in the phantom cohort: invented patients, their studies, and what each study finds."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

FINDINGS = ("normal", "pneumonia", "effusion")
SITES = ("site-a", "site-b")

_PREVALENCE = (0.45, 0.30, 0.25)
_STUDIES = (0.52, 0.30, 0.18)  # chance of one, two, three studies
_STAYS = 0.7  # chance that a follow-up study finds what the one before did
_FAMILY = [
    "Abara",
    "Bergdahl",
    "Castell",
    "Dlamini",
    "Eriksen",
    "Fontaine",
    "Guerrin",
    "Halloran",
    "Ivarsen",
    "Jovanic",
    "Kessels",
    "Lindqvist",
]
_FEMALE = ["Ada", "Beatriz", "Chiara", "Dagny", "Elin", "Farah", "Greta", "Hanne"]
_MALE = ["Anders", "Bruno", "Cyril", "Dario", "Emil", "Farid", "Goran", "Henrik"]


@dataclass(frozen=True)
class Patient:
    """One invented person. ``number`` seeds their anatomy, the same in every study."""

    number: int
    site: str
    identifier: str
    name: str
    sex: str
    birth: date


@dataclass(frozen=True)
class Study:
    """One radiograph of one patient. ``severity`` from 0 (hardly visible) to 1; 0 for a normal one."""

    patient: Patient
    number: int
    day: date
    age: int  # years
    finding: str
    severity: float


def plan(seed: int, patients: int) -> list[Study]:
    """Every study of the cohort, in order. The same seed gives the same people, however many are asked for."""
    return [study for number in range(patients) for study in _studies(seed, number)]


def _studies(seed: int, number: int) -> list[Study]:
    random = np.random.default_rng([seed, number])
    site = SITES[number % len(SITES)]  # both sites see the same mix: the site must not tell the finding
    sex = "F" if random.random() < 0.5 else "M"  # noqa: PLR2004 - half of them
    first = random.choice(_FEMALE if sex == "F" else _MALE)
    age = int(np.clip(random.normal(58, 19), 18, 97))
    day = date(2019, 1, 7) + timedelta(days=int(random.integers(0, 4 * 365)))
    birth = date(day.year - age, 1, 1) - timedelta(days=int(random.integers(1, 200)))
    identifier = f"{site[-1].upper()}{random.integers(10**6):06d}-{number}"
    patient = Patient(number, site, identifier, f"{random.choice(_FAMILY)}^{first}", sex, birth)
    studies: list[Study] = []
    for follow_up in range(1 + int(random.choice(3, p=_STUDIES))):
        stays = follow_up > 0 and random.random() < _STAYS
        finding = studies[-1].finding if stays else str(random.choice(FINDINGS, p=_PREVALENCE))
        severity = 0.0 if finding == "normal" else float(random.beta(1.5, 1.4))
        studies.append(Study(patient, follow_up, day, _years(birth, day), finding, severity))
        day += timedelta(days=int(random.integers(2, 400)))
    return studies


def _years(birth: date, day: date) -> int:
    return day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))
