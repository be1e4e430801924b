"""From a DICOM file to its row of the index: radrepro's ingest beside pydicom reading the same elements.

    python benchmarks/header_scan.py [folder of DICOM files] [rounds]

pydicom reads with ``stop_before_pixels`` and ``specific_tags``, which leaves the elements as bytes; ``get`` then turns
each into a value. radrepro's header is read, checked (limits, pixel data as long as it claims to be) and turned into
keyed hashes and words of the allow-list. The two take turns at each file, which is in the page cache; times are of the
CPU, per file, medians of the rounds. The second table adds what makes most of a real scan, the hash of the whole file.
The third hands files to worker processes as the stage does, and takes the wall time that more files add: starting up is
left out. It says something on a machine that does nothing else; what the stage's own process spends on a file, which
all workers share, bounds the rest.
"""

import argparse
import hashlib
import os
import shutil
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from stages import files  # noqa: E402
from stages.executor.limits import Limits  # noqa: E402
from stages.executor.ordered import ordered  # noqa: E402
from stages.executor.work import Work  # noqa: E402
from stages.ingest import attributes, burned_in, chunk, elements, header  # noqa: E402
from stages.ingest.batch import _CHUNK  # noqa: E402
from stages.ingest.params import IngestParams  # noqa: E402
from stages.ingest.scan import Scanner  # noqa: E402
from stages.pseudonyms import Pseudonyms  # noqa: E402
from tests.dicom_files import make_dicom  # noqa: E402

MADE, SIDE = 200, 512
FEW, MANY = 2000, 10000
KEY = Pseudonyms(b"k" * 64)
SECTION = IngestParams(key_file=Path("secret.key"), burned_in_absent="pass")
Step = Callable[[Path], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT.parent / "shared/data/chest")
    parser.add_argument("rounds", nargs="?", type=int, default=9)
    given, rounds = vars(parser.parse_args()).values()
    given = given.resolve()
    warnings.simplefilter("ignore")
    made = Path(tempfile.mkdtemp())
    try:
        make(made / "made")
        corpora = {"made": sorted((made / "made").iterdir())}
        if given.is_dir():
            corpora["given"] = [path for path in sorted(given.rglob("*")) if accepted(path)]
        tell_headers(corpora, rounds)
        tell_files(corpora, rounds)
        os.chdir(made)
        tell_workers(corpora["made"])
    finally:
        shutil.rmtree(made)


def make(folder: Path) -> None:
    """Radiographs with a header of the size that devices write: 80 elements, of them 5 sequences, two levels deep."""
    pixels = np.random.default_rng(1).integers(0, 4096, (SIDE, SIDE), dtype=np.uint16)
    for number in range(MADE):
        explicit = number % 2 == 0  # half of the sequences state their lengths, half end with a delimiter
        make_dicom(folder / f"IM{number:05d}", pixels, BitsStored=12, **written(number), **sequences(explicit))


def written(number: int) -> dict[str, object]:
    day, clock = f"2020{number % 12 + 1:02d}11", f"10{number % 60:02d}00"
    return {
        "ImageType": ["ORIGINAL", "PRIMARY", ""],
        "StudyDate": day, "SeriesDate": day, "AcquisitionDate": day, "ContentDate": day,
        "StudyTime": clock, "SeriesTime": clock, "AcquisitionTime": clock, "ContentTime": clock,
        "AccessionNumber": f"A{number:08d}", "StudyID": f"S{number}", "SeriesNumber": 1, "InstanceNumber": number,
        "Manufacturer": "SIEMENS", "ManufacturerModelName": "Model", "DeviceSerialNumber": "0815",
        "SoftwareVersions": ["VB10", "VB11"], "StationName": "DX1", "InstitutionName": "St Elsewhere",
        "InstitutionAddress": "1 Nowhere Street", "InstitutionalDepartmentName": "Radiology",
        "ReferringPhysicianName": "Doe^John", "PerformingPhysicianName": "Roe^Jane", "OperatorsName": "Moe^Jim",
        "StudyDescription": "Thorax p.a.", "SeriesDescription": "Thorax", "ProtocolName": "Thorax",
        "PatientName": f"Patient^{number}", "PatientID": f"P{number:06d}", "PatientBirthDate": "19500615",
        "PatientSex": "F", "PatientAge": "070Y", "PatientSize": "1.70", "PatientWeight": "70",
        "BodyPartExamined": "CHEST", "ViewPosition": "PA", "ImageLaterality": "U", "PatientOrientation": ["L", "F"],
        "KVP": "125", "ExposureTime": 12, "XRayTubeCurrent": 320, "Exposure": 4, "FilterType": "NONE", "Grid": "FIXED",
        "DistanceSourceToDetector": "1800", "ImagerPixelSpacing": [0.143, 0.143], "FocalSpots": "1.2",
        "DetectorType": "SCINTILLATOR", "DetectorID": "1", "DetectorTemperature": "30", "Sensitivity": "400",
        "AcquisitionDeviceProcessingDescription": "standard", "PresentationIntentType": "FOR PRESENTATION",
        "WindowCenter": ["2048", "1800"], "WindowWidth": ["4096", "3000"], "RescaleSlope": "1", "RescaleIntercept": "0",
        "RescaleType": "US", "PresentationLUTShape": "IDENTITY", "LossyImageCompression": "00",
        "BurnedInAnnotation": "NO", "PixelIntensityRelationship": "LIN", "PixelIntensityRelationshipSign": 1,
        "QualityControlImage": "NO", "FrameOfReferenceUID": "1.2.3", "SpecificCharacterSet": "ISO_IR 100",
    }  # fmt: skip


def sequences(explicit: bool) -> dict[str, list[Dataset]]:
    def item(**attributes: object) -> Dataset:
        made = Dataset()
        made.is_undefined_length_sequence_item = not explicit
        for keyword, value in attributes.items():
            setattr(made, keyword, value)
            made[keyword].is_undefined_length = not explicit and made[keyword].VR == "SQ"
        return made

    def code() -> Dataset:
        return item(CodeValue="51185008", CodingSchemeDesignator="SCT", CodeMeaning="Chest")

    request = item(
        RequestedProcedureID="1", ScheduledProcedureStepID="2", ScheduledProtocolCodeSequence=[code(), code()]
    )
    return {
        "ReferencedStudySequence": [item(ReferencedSOPClassUID="1.2", ReferencedSOPInstanceUID="1.2.3")],
        "ProcedureCodeSequence": [code()],
        "AnatomicRegionSequence": [code()],
        "ViewCodeSequence": [item(CodeValue="1", CodeMeaning="PA", ViewModifierCodeSequence=[code()])],
        "RequestAttributesSequence": [request],
    }


def accepted(path: Path) -> bool:
    return path.is_file() and Scanner(path.parent, KEY, SECTION)(path.name).reason is None


def tell_headers(corpora: dict[str, Sequence[Path]], rounds: int) -> None:
    print("| files | elements | pydicom, us | and get, us | radrepro, us | / pydicom | / pydicom and get |")
    print("|---" * 7 + "|")
    for name, paths in corpora.items():
        bare, got, ours = medians(paths, rounds, pydicom_alone, pydicom_and_get, row)
        count = statistics.median(len(dcmread(path, stop_before_pixels=True)) for path in paths)
        print(
            f"| {len(paths)} {name} | {count:.0f} | {bare:.0f} | {got:.0f} | {ours:.0f} "
            f"| {ours / bare:.2f} | {ours / got:.2f} |"
        )


def tell_files(corpora: dict[str, Sequence[Path]], rounds: int) -> None:
    print(
        "\n| files | KiB each | sha256, us | pydicom and sha256, us | radrepro's whole scan, us | ratio |\n"
        + "|---" * 6
        + "|"
    )
    for name, paths in corpora.items():
        alone, both, ours = medians(paths, rounds, sha256, pydicom_and_sha256, scanned)
        size = statistics.mean(path.stat().st_size for path in paths) / 1024
        print(f"| {len(paths)} {name} | {size:.0f} | {alone:.0f} | {both:.0f} | {ours:.0f} | {ours / both:.2f} |")


def medians(paths: Sequence[Path], rounds: int, *steps: Step) -> list[float]:
    """Microseconds a file of each step; they take turns at each file."""
    took: list[list[float]] = [[] for _ in steps]
    for number in range(rounds + 1):
        total = [0.0 for _ in steps]
        for turn, path in enumerate(paths, number):
            for each in range(len(steps)):
                which = (each + turn) % len(steps)
                started = time.process_time()
                steps[which](path)
                total[which] += time.process_time() - started
        for found, spent in zip(took, total, strict=True):
            found.append(spent / len(paths) * 1e6)
    return [statistics.median(found[1:]) for found in took]  # the first round warms up


def pydicom_alone(path: Path) -> Dataset:
    return dcmread(path, stop_before_pixels=True, specific_tags=elements.TAGS)


def pydicom_and_get(path: Path) -> list[object]:
    found = pydicom_alone(path)
    return [found.get(keyword) for keyword in elements.KEYWORDS]


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pydicom_and_sha256(path: Path) -> tuple[str, Dataset]:
    return sha256(path), pydicom_alone(path)


def row(path: Path) -> dict[str, object]:
    with files.opened(str(path), SECTION.limits.content) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        found = header.read(file, size, SECTION.limits.content)
    kept = attributes.keep(found, KEY)
    kept["burned_in"] = burned_in.stated(found, SECTION)
    return kept


def scanned(path: Path) -> object:
    return Scanner(path.parent, KEY, SECTION)(path.name)


def tell_workers(paths: Sequence[Path]) -> None:
    root = Path("many").absolute()
    root.mkdir()
    names = [f"{number:06d}" for number in range(MANY)]
    for number, name in enumerate(names):
        (root / name).hardlink_to(paths[number % len(paths)])
    print("\n| workers | files/s | against one | the stage's own process, CPU us a file |\n|---|---|---|---|")
    first = 0.0
    for workers in sorted({1, 2, len(os.sched_getaffinity(0))}):
        few, many = (seconds(root, names[:count], workers) for count in (FEW, MANY))
        wall, own = ((more - less) / (MANY - FEW) for less, more in zip(few, many, strict=True))
        first = first or 1 / wall
        print(f"| {workers} | {1 / wall:.0f} | {1 / wall / first:.2f} | {own * 1e6:.0f} |")


def seconds(root: Path, names: Sequence[str], workers: int) -> tuple[float, float]:
    """Wall time, and CPU time of this process, which all workers share."""
    scanner = Scanner(root, KEY, SECTION)
    work = Work(scanner, scanner.lost, chunk.save, chunk.load, scanner.stamp, "", Limits())
    os.environ["RADREPRO_WORKERS"] = str(workers)
    wall, own = time.perf_counter(), time.process_time()
    found = sum(scan.kept is not None for scan in ordered(f"{workers} {len(names)}", work, names, _CHUNK))
    assert found == len(names)
    return time.perf_counter() - wall, time.process_time() - own


if __name__ == "__main__":
    main()
