"""The sides of the split as MLflow's dataset inputs, each known by a hash over all of it."""

import hashlib
import json

from mlflow.entities import Dataset, DatasetInput, InputTag

from pipeline.lineage import File
from stages.artifacts.cohort import Cohort, Subset

_DIGEST_LENGTH = 36  # MLflow's limit


def manifest(cohort: Cohort) -> bytes:
    """Which images, with which pixels and labels: CSV, one line each, sorted by image.

    The same rows give the same bytes in any order and on any machine. (MLflow's own digest of a table reads its first
    10,000 rows only.)
    """
    columns = ["image", "pixel_sha256", *(f"label:{name}" for name in cohort.classes)]
    text: str = cohort.frame[columns].sort_values("image").to_csv(index=False, lineterminator="\n")
    return text.encode()


def inputs(cohort: Cohort, file: File) -> list[DatasetInput]:
    """One input per side of the split; ``file`` is data/cohort.parquet as dvc.lock has it."""
    return [_input(subset, cohort.subset(subset), file) for subset in cohort.sides]


def _input(subset: Subset, rows: Cohort, file: File) -> DatasetInput:
    sha256 = hashlib.sha256(manifest(rows)).hexdigest()
    counts = {name: int((rows.frame[f"label:{name}"] == 1).sum()) for name in rows.classes}
    profile = {
        "images": len(rows.frame),
        "patients": int(rows.frame["patient"].nunique()),
        "batches": sorted(rows.frame["batch"].unique()),
        "images_by_class": counts,
        "manifest_sha256": sha256,
    }
    source = {"path": file.path, "md5": file.md5, "subset": subset.value}
    # MLflow shows a schema in its own form: mlflow.types.Schema of columns
    columns = [{"name": name, "type": "string"} for name in ("image", "pixel_sha256")]
    columns += [{"name": f"label:{name}", "type": "float"} for name in rows.classes]
    dataset = Dataset(
        name=subset.value,
        digest=sha256[:_DIGEST_LENGTH],
        source_type="dvc",
        source=json.dumps(source),
        schema=json.dumps({"mlflow_colspec": columns}),
        profile=json.dumps(profile),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", subset.value)])
