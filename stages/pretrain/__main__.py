"""weights/<name>.safetensors: a backbone that went on learning, without labels, as params.yaml says."""

import json

import pandas as pd

from stages import inference, networks, params, runtime
from stages.artifacts import cohort as cohorts
from stages.artifacts import images, pretraining, unlabelled, weights
from stages.artifacts.cohort import Cohort, Subset
from stages.artifacts.pretraining import Pretraining
from stages.learning import devices
from stages.learning.live import live
from stages.learning.resume import Progress
from stages.loading import Images
from stages.networks import Header
from stages.pretrain.judging import Judge
from stages.pretrain.params import SelfSupervised
from stages.pretrain.training import fit
from stages.runtime import UserError
from stages.settings import Settings


def main() -> None:
    """Load images and starting weights, train, save the weights, the curves and the record."""
    settings: SelfSupervised = params.read(f"self_supervised.{name}", SelfSupervised)  # type: ignore[arg-type]  # a union
    if devices.world() > 1:
        raise UserError("self-supervised training runs on one device: start it without torchrun")
    seed, machine, cohort = params.read("seed", int), Settings(), Cohort.read()
    device = inference.device(machine.device)
    train, others = cohort.subset(Subset.TRAIN).frame, unlabelled.read(cohort)
    rows = pd.concat([side[["batch", "row", "patient"]] for side in (train, others)], ignore_index=True)
    runtime.log.info("%d images to learn from, %d of them without a label", len(rows), len(others))
    seen = Images(rows)
    backbone, features, start = networks.load_backbone(weights.path(settings.weights), seen.image_size)
    precision = devices.precision(settings.precision, device)
    judge = Judge(cohort, settings.probe_c, device)
    files = [cohorts.PATH, unlabelled.PATH, weights.path(settings.weights)]
    batches = sorted({*cohort.frame["batch"], *rows["batch"]})
    settled = json.dumps([settings.model_dump(), seed, device.type])
    kept = Progress(f"pretrain@{name}", settled, [*files, *map(images.directory, batches)])

    with live(name, settings.model_dump(), enabled=machine.live, kind="self_supervised") as on_epoch:
        course = fit(
            backbone,
            features,
            seen,
            settings,
            seed=seed,
            fabric=devices.fabric(device, precision),
            probe=lambda: judge(backbone),
            on_epoch=on_epoch,
            kept=kept,
        )

    made = f"{settings.method}, {settings.epochs} epochs of {len(rows)} images"
    header = Header(
        start.architecture,
        f"{settings.method} from {start.source}",
        seen.image_size,
        recipe="; ".join(filter(None, [start.recipe, made])),
        licence=start.licence,
        black_white=start.black_white,
    )
    record = Pretraining(
        method=settings.method,
        weights=settings.weights,
        source=header.source,
        architecture=header.architecture,
        images=len(rows),
        unlabelled=len(others),
        patients=int(rows["patient"].nunique()),
        epochs=settings.epochs,
        images_seen=settings.epochs * len(rows),
        loss=round(course.passes[-1]["loss"], 6),
        val_auroc_at_start=round(course.probes[0]["val_auroc"], 6),
        val_auroc=round(course.probes[-1]["val_auroc"], 6),
        parameters=sum(parameter.numel() for parameter in backbone.parameters()),
        device=device.type,
        precision=precision,
    )
    with runtime.atomic_directory(pretraining.directory(name)) as folder:
        pretraining.write_curve(folder / pretraining.loss_path(name).name, course.passes)
        pretraining.write_curve(folder / pretraining.probe_path(name).name, course.probes)
        runtime.write_json(folder / pretraining.record_path(name).name, record)
    networks.save_backbone(weights.path(name), backbone, header)


if __name__ == "__main__":
    name = runtime.argument("name")
    runtime.run("pretrain", main, name, weights.path(name))
