"""An answer as a DICOM structured report that a PACS takes: a measurement report (PS3.16 TID 1500) of one image file.

Patient and study are those of the image. Each image has a group (TID 1501): the algorithm (TID 4019: name, version in
the registry, hashes of the chain and the weights), a probability for each class, the decision, the classes above their
threshold and the prediction set. The report is preliminary and unverified: nobody has looked at it.
"""

import uuid
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from highdicom import UID
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    TrackingIdentifier,
)
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from stages import files
from stages.runtime import UserError

SCHEME = "99RADREPRO"
"""Of codes for classes: their names, which only the project that trained the model can explain."""

_MAKER = "radrepro"
_NOTE = "research software, not a medical device"
_MOST_BYTES = 2**30
_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_MAY_BE_EMPTY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)  # type 2 (PS3.5 section 7.4.3): to be there, if empty
_LONGEST_MEANING = 64  # characters of a Code Meaning


def write(path: str, rows: Sequence[dict[str, Any]], folder: Path) -> Path:
    """Write the report on the image file ``path``, whose ``rows`` :mod:`pipeline.serving.columns` describes.

    Raises
    ------
    UserError
        If the image lacks the identifiers that a report refers to it by.
    """
    report = build(_header(path), rows)
    target = folder / f"{report.SOPInstanceUID}.dcm"
    report.save_as(target)
    return target


def build(image: Dataset, rows: Sequence[dict[str, Any]]) -> Comprehensive3DSR:
    """The report on ``image`` (its header)."""
    model = rows[0]
    context = ObservationContext(
        observer_device_context=ObserverContext(
            observer_type=codes.DCM.Device,
            observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
                uid=f"2.25.{uuid.uuid5(uuid.NAMESPACE_URL, model['chain_sha256']).int}",  # PS3.5 section B.2
                name=model["model"],
                manufacturer_name=_MAKER,
                model_name=model["recipe"],
                serial_number=model["chain_sha256"],
            ),
        )
    )
    content = MeasurementReport(
        observation_context=context,
        procedure_reported=codes.SCT.ImagingProcedure,
        imaging_measurements=[_group(image, row) for row in rows],
    )
    return Comprehensive3DSR(
        evidence=[image],
        content=content,
        series_instance_uid=UID(),
        series_number=1,
        sop_instance_uid=UID(),
        instance_number=1,
        manufacturer=_MAKER,
        manufacturer_model_name=model["model"],
        software_versions=_version(),
        device_serial_number=model["model_sha256"],
        is_complete=True,
        is_final=False,
        is_verified=False,
        coding_schemes=[CodingSchemeIdentificationItem(SCHEME, "classes of a model", responsible_organization=_MAKER)],
        series_description=f"{_MAKER}: {_NOTE}",
    )


def _group(image: Dataset, row: dict[str, Any]) -> MeasurementsAndQualitativeEvaluations:
    name, _, number = row["model"].partition("/")
    algorithm = AlgorithmIdentification(
        name=name,
        version=number,
        manufacturer=_MAKER,
        parameters=[
            f"chain sha256={row['chain_sha256']}",
            f"model sha256={row['model_sha256']}",
            f"recipe={row['recipe']}",
            _NOTE,
        ],
    )
    probabilities = [
        Measurement(name=_code(f"P-{key}", f"Probability of {key}"), value=value, unit=codes.UCUM.NoUnits)
        for key, value in (
            (column.partition(":")[2], value) for column, value in row.items() if column.startswith("probability:")
        )
    ]
    said = [
        QualitativeEvaluation(name=_code(column, meaning), value=_code(found, found))
        for column, meaning in (
            ("decision", "Decision of the model"),
            ("above_threshold", "At its threshold or above"),
            ("prediction_set", "In the prediction set"),
        )
        for found in row[column] or []
    ]
    frames = [row["frame"] + 1] if int(image.get("NumberOfFrames") or 1) > 1 else None
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=UID(), identifier=f"image {row['frame'] + 1}"),
        algorithm_id=algorithm,
        measurements=probabilities,
        qualitative_evaluations=said,
        source_images=[SourceImageForMeasurementGroup(image.SOPClassUID, image.SOPInstanceUID, frames)],
    )


def _code(value: str, meaning: str) -> CodedConcept:
    return CodedConcept(value, SCHEME, meaning[:_LONGEST_MEANING])


def _header(path: str) -> Dataset:
    with files.opened(path, _MOST_BYTES) as file:
        image = dcmread(file, stop_before_pixels=True, force=True)
    if missing := [word for word in _UIDS if not image.get(word)]:
        raise UserError(f"no structured report: the image has no {', '.join(missing)} to refer to it by")
    for word in _MAY_BE_EMPTY:
        if word not in image:
            setattr(image, word, "")
    return image


def _version() -> str:
    try:
        return version("radrepro")
    except PackageNotFoundError:  # run from its source, uninstalled
        return "source"
