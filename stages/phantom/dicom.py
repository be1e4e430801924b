"""A study of the phantom as a DICOM file: a DX image (PS3.3 A.26) at one site, a CR image (A.2) at the other."""

import io
import logging
import uuid
from datetime import timedelta

import numpy as np
import pydicom
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

from stages.phantom.cohort import Study
from stages.phantom.detector import DETECTORS, Stored
from stages.pseudonyms import PHANTOM_MANUFACTURER

logging.getLogger("openjpeg").setLevel(logging.WARNING)  # it reports every tile

_SYNTAXES = {
    "site-a": (uid.JPEG2000Lossless, uid.RLELossless, uid.JPEG2000Lossless),
    "site-b": (uid.JPEGLSLossless,),
}


def identifier(seed: int, study: Study, kind: str) -> uid.UID:
    """A UID that depends on nothing but who, when and what: derived from a name-based UUID (PS3.5 B.2, RFC 9562)."""
    name = f"radrepro phantom/{seed}/{study.patient.number}/{study.number}/{kind}"
    return uid.UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, name).int}")


def encode(seed: int, study: Study, stored: Stored) -> bytes:
    """The file, the same bytes every time. ``stored`` is (rows, columns) with bone bright."""
    site = study.patient.site
    detector = DETECTORS[site]
    dataset = _identity(seed, study)
    inverted = site == "site-a" and study.patient.number % 4 < 2  # noqa: PLR2004 - about half of them
    if inverted:
        stored = (2**detector.bits - 1 - stored).astype(np.uint16)
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated = 16 if detector.bits > 8 else 8  # noqa: PLR2004 - bits in a byte
    dataset.BitsStored, dataset.HighBit = detector.bits, detector.bits - 1
    dataset.PixelRepresentation = 0
    dataset.PixelData = stored.astype("<u2" if detector.bits > 8 else "u1").tobytes()  # noqa: PLR2004
    _window(dataset, stored, detector.bits)
    (_digital if site == "site-a" else _computed)(dataset, inverted=inverted)
    syntaxes = _SYNTAXES[site]
    dataset.compress(syntaxes[study.patient.number // 4 % len(syntaxes)], generate_instance_uid=False)
    return to_bytes(dataset)


def to_bytes(dataset: Dataset) -> bytes:
    """A DICOM file (PS3.10) that does not name the version of the library that wrote it: an upgrade keeps the bytes."""
    meta = dataset.file_meta
    meta.ImplementationClassUID = uid.UID("2.25.112233445566778899")
    meta.ImplementationVersionName = "RADREPRO_PHANTOM"
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def report(seed: int, study: Study) -> bytes:
    """A structured report of the study: valid DICOM without an image, as exports often hold."""
    dataset = _identity(seed, study)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = identifier(seed, study, "report")
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = uid.BasicTextSRStorage
    dataset.Modality = "SR"
    dataset.ValueType, dataset.ContinuityOfContent = "CONTAINER", "SEPARATE"
    dataset.CompletionFlag, dataset.VerificationFlag = "COMPLETE", "UNVERIFIED"
    dataset.ConceptNameCodeSequence = [_code("18748-4", "LN", "Diagnostic imaging study")]
    dataset.ReferencedPerformedProcedureStepSequence = dataset.PerformedProcedureCodeSequence = []
    return to_bytes(dataset)


def _identity(seed: int, study: Study) -> Dataset:
    """Everything about the person and the visit: invented, so that pseudonymisation has something to remove."""
    patient = study.patient
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    instance = identifier(seed, study, "instance")
    digital = patient.site == "site-a"
    kind = uid.DigitalXRayImageStorageForPresentation if digital else uid.ComputedRadiographyImageStorage
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = kind
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = instance
    dataset.StudyInstanceUID = identifier(seed, study, "study")
    dataset.SeriesInstanceUID = identifier(seed, study, "series")
    dataset.PatientName, dataset.PatientID = patient.name, patient.identifier
    dataset.PatientBirthDate = f"{patient.birth:%Y%m%d}"
    dataset.PatientSex = patient.sex
    dataset.PatientAge = f"{study.age:03d}Y"
    dataset.PatientAddress = f"{patient.number} Invented Street"
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = f"{study.day:%Y%m%d}"
    minute = timedelta(minutes=(patient.number * 7 + study.number * 31) % 720)
    clock = f"{7 + minute.seconds // 3600:02d}{minute.seconds // 60 % 60:02d}00"
    dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = clock
    dataset.StudyID = dataset.AccessionNumber = f"{patient.number:05d}{study.number}"
    dataset.ReferringPhysicianName = "Invented^Referrer"
    dataset.Manufacturer = PHANTOM_MANUFACTURER
    dataset.ManufacturerModelName = "Digital" if digital else "Plate"
    dataset.InstitutionName = "St. Nowhere General" if digital else "Elsewhere Clinic"
    dataset.StationName = "DX1" if digital else "CR7"
    dataset.StudyDescription = "Chest PA"
    dataset.Modality = "DX" if digital else "CR"
    dataset.BodyPartExamined, dataset.ViewPosition = "CHEST", "PA"
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    dataset.PatientOrientation = ["L", "F"]
    dataset.BurnedInAnnotation = "NO"
    private = dataset.private_block(0x0011, "RADREPRO PHANTOM", create=True)
    private.add_new(0x01, "LO", f"Invented note about {patient.name}")
    return dataset


def _window(dataset: Dataset, stored: Stored, bits: int) -> None:
    low, high = np.percentile(stored, (1, 99))
    dataset.WindowCenter, dataset.WindowWidth = (int(low) + int(high)) // 2, max(int(high) - int(low), 2 ** (bits - 4))
    dataset.WindowCenterWidthExplanation = "NORMAL"
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = 0, 1, "US"


def _digital(dataset: Dataset, *, inverted: bool) -> None:
    """Modules that DX demands and CR does not."""
    dataset.ImageType = ["ORIGINAL", "PRIMARY", ""]
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = 1 if inverted else -1
    dataset.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
    dataset.LossyImageCompression = "00"
    dataset.ImageLaterality = "U"
    dataset.DetectorType = "SCINTILLATOR"
    dataset.ImagerPixelSpacing = [0.9, 0.9]
    dataset.PositionerType = "NONE"
    dataset.AcquisitionContextSequence = []
    dataset.AnatomicRegionSequence = [_code("51185008", "SCT", "Chest")]
    view = _code("272479007", "SCT", "Postero-anterior")
    view.ViewModifierCodeSequence = []
    dataset.ViewCodeSequence = [view]


def _computed(dataset: Dataset, *, inverted: bool) -> None:
    """What CR allows: less."""
    assert not inverted
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.PixelSpacing = [0.8, 0.8]


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    """A coded concept (PS3.3 section 8)."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code
