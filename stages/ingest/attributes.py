"""What is kept of a header: keyed hashes, and an allow-list of attributes. Everything else is dropped here."""

import re
from datetime import date, datetime

from pydicom.dataset import Dataset

from stages.ingest import vocabulary
from stages.ingest.elements import number, text
from stages.pseudonyms import PHANTOM_MANUFACTURER, Pseudonyms
from stages.reasons import Reason, Refused

OLDEST = 89.0
"""Above it an age is given as 90: there are so few that it would name the person (HIPAA's safe harbour)."""

_LONGEST_LIFE = 130
_AGE = re.compile(r"(\d{1,3})([DWMY])")
_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}
_MOST_FRAMES = 2**31 - 1


def of_phantom(header: Dataset) -> bool:
    """Whether the file is the demonstration's: nobody's image."""
    return text(header, "Manufacturer") == PHANTOM_MANUFACTURER


def keep(header: Dataset, pseudonyms: Pseudonyms) -> dict[str, object]:
    """The columns of the index that come from the header.

    Raises
    ------
    Refused
        With ``MISSING_UID`` or ``MISSING_PATIENT_ID``: the image could not be told from others, or kept on one side
        of the split.
    """
    identity = {
        "instance": text(header, "SOPInstanceUID"),
        "series": text(header, "SeriesInstanceUID"),
        "study": text(header, "StudyInstanceUID"),
        "patient": text(header, "PatientID"),
    }
    for kind, keyword in (("instance", "SOP instance"), ("series", "series"), ("study", "study")):
        if not identity[kind]:
            raise Refused(Reason.MISSING_UID, keyword)
    if not identity["patient"]:
        raise Refused(Reason.MISSING_PATIENT_ID)
    site = text(header, "InstitutionName")
    maker, studied = text(header, "Manufacturer"), text(header, "StudyDate")
    return {
        **{kind: pseudonyms.of(kind, value) for kind, value in identity.items()},
        "site": pseudonyms.of("site", site) if site else None,
        "modality": modality(header),
        "manufacturer": maker if maker == PHANTOM_MANUFACTURER else vocabulary.manufacturer(maker),
        "body_part": body_part(header),
        "view": vocabulary.coded(text(header, "ViewPosition"), vocabulary.VIEWS),
        "laterality": vocabulary.coded(text(header, "ImageLaterality"), vocabulary.LATERALITIES, None),
        "sex": vocabulary.coded(text(header, "PatientSex"), vocabulary.SEXES, None),
        "age": age(text(header, "PatientAge"), text(header, "PatientBirthDate"), studied),
        "day": day(studied, identity["patient"], pseudonyms),
        "frames": frames(header),
        "rows": int(number(header, "Rows")),
        "columns": int(number(header, "Columns")),
        "bits_stored": int(number(header, "BitsStored") or number(header, "BitsAllocated")),
        "photometric": vocabulary.coded(text(header, "PhotometricInterpretation"), vocabulary.PHOTOMETRIC),
        "transfer_syntax": str(header.file_meta.TransferSyntaxUID),
    }


def modality(header: Dataset) -> str | None:
    """(0008,0060) as in its table; None where it is absent."""
    return vocabulary.coded(text(header, "Modality"), vocabulary.MODALITIES)


def body_part(header: Dataset) -> str | None:
    """(0018,0015) as in its table; None where it is absent."""
    return vocabulary.coded(text(header, "BodyPartExamined"), vocabulary.BODY_PARTS)


def frames(header: Dataset) -> int:
    """(0028,0008), 1 where it is absent. Raises :class:`Refused` with ``UNREADABLE`` if it is no number of frames."""
    found = int(number(header, "NumberOfFrames") or 1)
    if not 1 <= found <= _MOST_FRAMES:
        raise Refused(Reason.UNREADABLE, "Number of Frames")
    return found


def age(stated: str, born: str, studied: str) -> float | None:
    """Years: as stated (PS3.5 AS, such as ``045Y`` or ``018M``), else whole years from the dates; None if unknown."""
    if match := _AGE.fullmatch(stated):
        years = int(match[1]) * _YEARS[match[2]]
    else:
        birth, study = _date(born), _date(studied)
        if birth is None or study is None or study < birth:
            return None
        years = float(study.year - birth.year - ((study.month, study.day) < (birth.month, birth.day)))
    if years > _LONGEST_LIFE:
        return None
    return round(years, 3) if years <= OLDEST else OLDEST + 1


def day(studied: str, patient: str, pseudonyms: Pseudonyms) -> int | None:
    """The study's day as a number, shifted by a secret number of days: the same one for all dates of one patient."""
    date_ = _date(studied)
    return None if date_ is None else date_.toordinal() + pseudonyms.shift(patient)


def _date(value: str) -> date | None:
    try:
        if len(value) == 8 and value.isascii() and value.isdigit():  # noqa: PLR2004 - PS3.5 DA; as below, sooner
            return date.fromisoformat(value)
        return datetime.strptime(value.replace(".", ""), "%Y%m%d").date()  # noqa: DTZ007 - a day, no moment
    except ValueError:
        return None
