"""The cohort as two hospitals would export it: folders per study, and among the images what exports always hold."""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pydicom
from pydicom.uid import UID

from stages.phantom import anatomy, dicom, findings
from stages.phantom.cohort import SITES, Study
from stages.phantom.detector import DETECTORS, expose

_PREAMBLE = 132  # bytes: 128 of anything, then "DICM"


class File(NamedTuple):
    """One file of an export: its site, its path there, its bytes."""

    site: str
    path: str
    content: bytes


def render(seed: int, study: Study) -> bytes:
    """One study's image as a DICOM file."""
    patient = np.random.default_rng([seed, study.patient.number, 1])  # the same anatomy in every study
    visit = np.random.default_rng([seed, study.patient.number, 2, study.number])
    chest = anatomy.thorax(patient, visit, study.patient.sex, study.age)
    depth = findings.add(chest, study.finding, study.severity, visit)
    return dicom.encode(seed, study, expose(depth, DETECTORS[study.patient.site], visit))


def path(study: Study) -> str:
    """Where the export puts a study's image: one site names files as old media do, the other by suffix."""
    folder = hashlib.sha256(f"{study.patient.identifier}/{study.number}".encode()).hexdigest()[:8]
    if study.patient.site == "site-a":
        return f"DICOM/{folder.upper()}/IM000001"
    return f"{study.patient.name.replace('^', '_')}_{folder}/image.dcm"


def nuisances(seed: int, images: list[tuple[Study, bytes]]) -> Iterator[File]:
    """What else each site's export holds: files to be quarantined, one to be recognised as a copy."""
    for site in SITES:
        (first, content), (other, _), *_ = [item for item in images if item[0].patient.site == site]
        yield File(site, "README.TXT", b"Exported for research. Not a DICOM file.\r\n")
        yield File(site, "VIEWER/THUMB.JPG", b"\xff\xd8\xff\xe0\x00\x10JFIF\x00 a thumbnail \xff\xd9")
        yield File(site, "COPY/IM000001", content)
        yield File(site, "SR/IM000001", dicom.report(seed, other))
        broken = _again(content, dicom.identifier(seed, first, "truncated"))
        yield File(site, "BROKEN/IM000001", broken[: int(len(broken) * 0.6)])
        yield File(site, "NOID/IM000001", _again(content, dicom.identifier(seed, first, "nobody"), anonymous=True))


def without_preamble(content: bytes) -> bytes:
    """As some old archives write: nothing before the first element. Still DICOM, and still good."""
    return content[_PREAMBLE:]


def _again(content: bytes, instance: UID, *, anonymous: bool = False) -> bytes:
    dataset = pydicom.dcmread(pydicom.filebase.DicomBytesIO(content))
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = instance
    if anonymous:
        dataset.PatientID = ""
    return dicom.to_bytes(dataset)
