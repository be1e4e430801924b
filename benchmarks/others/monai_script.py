"""A classifier as MONAI's tutorials train one: what does not change is cached in memory, the rest done per image.

    python benchmarks/others/monai_script.py <folder of train/<class>/*.png and val/> <weights.pth> ...

Transforms, metric and loop are those of the MedNIST tutorial with CacheDataset put in, as the acceleration guide
advises; its flip is left out. The network is torchvision's, of one channel. Nothing of radrepro is imported. Options
and the line per epoch are those of every contender of benchmarks/time_to_auroc.py.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import torch
from monai.data import CacheDataset, DataLoader, ThreadDataLoader, decollate_batch
from monai.metrics import ROCAUCMetric
from monai.transforms import (
    Activations,
    AsDiscrete,
    Compose,
    EnsureChannelFirstd,
    LoadImaged,
    NormalizeIntensityd,
    RandRotated,
    RandZoomd,
    ScaleIntensityd,
)
from monai.utils import set_determinism
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
from torchvision.models import get_model

WORKERS = 2
MEAN, STD = 0.449, 0.226  # what the weights were made for


def main() -> None:
    warnings.simplefilter("ignore")
    options = arguments()
    set_determinism(options.seed)
    torch.use_deterministic_algorithms(mode=False)  # the seeds are wanted, their cost is not
    torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    classes = sorted(folder.name for folder in Path(options.images, "train").iterdir())
    cached = [
        LoadImaged("image", reader="PILReader"),
        EnsureChannelFirstd("image"),
        ScaleIntensityd("image"),
        NormalizeIntensityd("image", subtrahend=MEAN, divisor=STD),
    ]
    changes = [
        RandRotated("image", range_x=np.pi / 12, prob=0.5, keep_size=True),
        RandZoomd("image", min_zoom=0.9, max_zoom=1.1, prob=0.5),
    ]
    train = CacheDataset(listed(options.images, "train", classes), Compose(cached + changes), progress=False)
    val = CacheDataset(listed(options.images, "val", classes), Compose(cached), progress=False)
    if options.loader == "threads":
        train_loader = ThreadDataLoader(train, batch_size=options.batch_size, shuffle=True, num_workers=0)
        val_loader = ThreadDataLoader(val, batch_size=options.batch_size, num_workers=0)
    else:
        train_loader = DataLoader(train, batch_size=options.batch_size, shuffle=True, num_workers=WORKERS)
        val_loader = DataLoader(val, batch_size=options.batch_size, num_workers=WORKERS)

    network = get_model(options.architecture, num_classes=len(classes))
    name = next(name for name, module in network.named_modules() if isinstance(module, nn.Conv2d))
    stem = network.get_submodule(name)
    stem.in_channels, stem.weight = 1, nn.Parameter(stem.weight.detach().sum(dim=1, keepdim=True))
    fit = network.load_state_dict(torch.load(options.weights, weights_only=True), strict=False)
    assert len(fit.missing_keys) == 2 and not fit.unexpected_keys, fit  # noqa: PLR2004, PT018 - all but the last layer
    if options.norm_momentum:
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = options.norm_momentum
    network.to(device)
    optimizer = (
        torch.optim.AdamW(network.parameters(), lr=options.lr, weight_decay=1e-4)
        if options.optimizer == "adamw"
        else torch.optim.SGD(network.parameters(), lr=options.lr, momentum=0.9, weight_decay=1e-4)
    )
    rising, falling = LinearLR(optimizer, 0.01, total_iters=1), CosineAnnealingLR(optimizer, max(1, options.epochs - 1))
    scheduler = SequentialLR(optimizer, [rising, falling], milestones=[1])
    loss_function = nn.CrossEntropyLoss()
    metric, as_scores = ROCAUCMetric(), Activations(softmax=True)
    one_hot = AsDiscrete(to_onehot=len(classes))

    for epoch in range(1, options.epochs + 1):
        network.train()
        for batch in train_loader:
            images, labels = batch["image"].to(device), batch["label"].to(device)
            optimizer.zero_grad()
            loss = loss_function(network(images), labels)
            loss.backward()
            optimizer.step()
        scheduler.step()
        network.eval()
        with torch.no_grad():
            made = [(network(batch["image"].to(device)), batch["label"]) for batch in val_loader]
        scores = [as_scores(one) for one in decollate_batch(torch.cat([logits.cpu() for logits, _ in made]))]
        truth = [one_hot(one) for one in decollate_batch(torch.cat([labels for _, labels in made]), detach=False)]
        metric(scores, truth)
        print(f"epoch {epoch}: val AUROC {metric.aggregate():.4f}", flush=True)
        metric.reset()


def listed(images: str, side: str, classes: list[str]) -> list[dict[str, object]]:
    return [
        {"image": str(path), "label": number}
        for number, name in enumerate(classes)
        for path in sorted(Path(images, side, name).iterdir())
    ]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images")
    parser.add_argument("weights")
    parser.add_argument("--architecture", required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--optimizer", choices=("sgd", "adamw"), required=True)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--loader", choices=("threads", "processes"), default="threads")
    parser.add_argument("--norm-momentum", type=float, help="of BatchNorm; else the architecture's own")
    return parser.parse_args()


if __name__ == "__main__":
    main()
