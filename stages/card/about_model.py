"""What the pipeline can say of the model: the items of CLAIM on its kind, parts and training."""

from stages.artifacts.cohort import Task
from stages.card.facts import Facts, Said, count, label, listed, thresholds
from stages.finetune.params import LinearProbe, LinearProbeThenFull, Scratch


def technology(found: Facts) -> Said:
    """Item 1."""
    kind = {Task.BINARY: "binary", Task.MULTICLASS: "multi-class", Task.MULTILABEL: "multi-label"}[found.cohort.task]
    modalities = listed(sorted(found.cohort.frame["modality"].dropna().unique()))
    images = f"images (modality {modalities})" if modalities else "images"
    how = "trained from a random start" if isinstance(found.settings, Scratch) else "by transfer learning"
    return Said(
        f"Deep learning: a {kind} classifier of {images} {how}, a {found.training['architecture']} with strategy "
        f"{found.training['strategy']} from weights '{found.training['weights']}'."
    )


def network(found: Facts) -> Said:
    """Item 22."""
    done, header = found.training, found.header
    size = header["image_size"]
    hidden = getattr(found.settings, "hidden", [])
    head = f"layers of {', '.join(map(str, hidden))} and one" if hidden else "one linear layer"
    squash = "sigmoid for each label" if found.cohort.task is Task.MULTILABEL else "softmax"
    cut = f", cut after its first {header['blocks']} blocks" if int(header.get("blocks", "0")) else ""
    return Said(
        f"{done['architecture']} of torchvision{cut}, its first convolution taking one channel: ({size}, {size}) grey "
        f"levels to {len(found.cohort.classes)} outputs ({', '.join(found.cohort.classes)}) through {head} and a "
        f"{squash}{_temperature(found)}; {done['parameters']:,} parameters, {done['trainable_parameters']:,} of them "
        f"trained. {thresholds(found)}"
    )


def software(found: Facts) -> Said:
    """Item 23."""
    versions = ", ".join(f"{name} {version}" for name, version in found.packages.items())
    return Said(
        f"radrepro, with {versions} as requirements.lock pins them with the hashes of all other packages. What was "
        "installed, and the commit of the code, is recorded with each run in MLflow."
    )


def initialization(found: Facts) -> Said:
    """Item 24."""
    start = f"Weights '{found.training['weights']}' (source: {found.header['source']})"
    match found.settings:
        case LinearProbe():
            return Said(f"{start}, which stay as they are; the last layer is fitted, from zero.")
        case LinearProbeThenFull():
            return Said(f"{start}; the last layer starts as a linear probe on their features.")
    return Said(f"{start}; what is new starts at random, from seed {found.seed}.")


def training(found: Facts) -> Said:
    """Item 25."""
    done = found.training
    settings = found.settings.model_dump()
    if isinstance(found.settings, LinearProbe):
        how = f"The features of {count(done['images_seen'], 'image')} were computed once."
    else:
        how = (
            f"{count(done['epochs'], 'epoch')}, {count(done['images_seen'], 'image')} in all, batches of "
            f"{settings['batch_size']}, {settings['optimizer']} at a learning rate of {settings['lr']:g} "
            f"({settings['schedule']} after {count(settings['warmup_epochs'], 'epoch')} of warm-up), augmentation "
            f"{settings['augment']}, on {done['device']} in {done['precision']}."
        )
    if target := settings.get("target"):
        how += f" Images of {target['column']} {target['value']} had a part in it without their labels only."
    return Said(
        f"Strategy {done['strategy']}: {found.strategy} {how} Every parameter is in the table 'Settings of training'."
    )


def selection(found: Facts) -> Said:
    """Item 26."""
    done, best = found.training, found.comparison["best"]
    recipes = len(found.comparison["recipes"])
    if done["chosen"]:
        within = ", ".join(f"{name} {value:g}" for name, value in done["chosen"].items())
        kept = f"On val by AUROC: {within}."
    else:
        kept = ""
    if done["best_epoch"]:
        monitor = found.settings.model_dump()["monitor"]
        epoch = f"{done['best_epoch']} of {done['epochs']}"
        kept += f" The weights of epoch {epoch} were kept, the best by {label(monitor)} on val."
    among = (
        f"It is the best of {recipes} recipes by AUROC on val."
        if best == found.recipe
        else f"Of {recipes} recipes '{best}' is the best by AUROC on val, not this one."
    )
    looks = found.comparison["test_looks"]
    return Said(f"{kept.strip()} {among} Test had no say; it has judged {count(looks, 'model')} so far.".strip())


def ensembling(_: Facts) -> Said:
    """Item 27."""
    return Said("None: one network.")


def protocol(_: Facts) -> Said:
    """Item 42."""
    return Said(
        "params.yaml, dvc.yaml and dvc.lock hold every setting and the hash of every file that made this model; with "
        "them and the data 'dvc repro' makes it again.",
        whole=False,
    )


def availability(found: Facts) -> Said:
    """Item 43."""
    return Said(f"The model is the file models/{found.recipe}/model.safetensors, kept by DVC.", whole=False)


def _temperature(found: Facts) -> str:
    value = found.evaluation.get("temperature", 1.0)
    return "" if value == 1.0 else f" at temperature {value:.3f}, fitted on val"
