"""The classification script of torchvision's references: files on the disk, transforms per image in worker processes.

    python benchmarks/others/torchvision_script.py <folder of train/<class>/*.png and val/> <weights.pth> ...

What references/classification/train.py of pytorch/vision does without options but these: a cosine after a linear
warm-up, the optimiser, the numbers. Nothing of radrepro is imported. Options and the line per epoch are those of every
contender of benchmarks/time_to_auroc.py.
"""

import argparse

import torch
from PIL import Image
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.models import get_model
from torchvision.transforms import transforms

WORKERS = 2
MEAN, STD = (0.449,) * 3, (0.226,) * 3  # what the weights were made for; those of ImageNet differ by colour


def main() -> None:
    options = arguments()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    torch.backends.cudnn.benchmark = True
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size = Image.open(next(iter(ImageFolder(f"{options.images}/val").samples))[0]).width
    normal = [transforms.PILToTensor(), transforms.ConvertImageDtype(torch.float), transforms.Normalize(MEAN, STD)]
    crop = transforms.RandomResizedCrop(size, scale=(options.least_crop, 1.0))
    changes = [crop, transforms.RandomHorizontalFlip(0.5)]
    train = ImageFolder(f"{options.images}/train", transforms.Compose(changes + normal))
    val = ImageFolder(f"{options.images}/val", transforms.Compose(normal))
    shared = {"batch_size": options.batch_size, "num_workers": WORKERS, "pin_memory": device.type == "cuda"}
    train_loader, val_loader = DataLoader(train, shuffle=True, **shared), DataLoader(val, **shared)

    network = get_model(options.architecture, num_classes=len(train.classes))
    start = torch.load(options.weights, weights_only=True)
    stem = next(name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)) + ".weight"
    start[stem] = start[stem].repeat(1, 3, 1, 1) / 3  # the images are RGB here: three equal channels
    fit = network.load_state_dict(start, strict=False)
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
    criterion = nn.CrossEntropyLoss()

    for epoch in range(1, options.epochs + 1):
        network.train()
        for images, labels in train_loader:
            loss = criterion(network(images.to(device)), labels.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scheduler.step()
        network.eval()
        with torch.inference_mode():
            scores = torch.cat([network(images.to(device)).softmax(1).cpu() for images, _ in val_loader])
        print(f"epoch {epoch}: val AUROC {auroc(scores, torch.tensor(val.targets)):.4f}", flush=True)


def auroc(scores: torch.Tensor, labels: torch.Tensor) -> float:
    """Of the second of two classes; else the mean over the classes."""
    classes = [1] if scores.shape[1] == 2 else range(scores.shape[1])  # noqa: PLR2004
    found = []
    for k in classes:
        inside, outside = scores[labels == k, k][:, None], scores[labels != k, k]
        found.append(((inside > outside).float() + 0.5 * (inside == outside).float()).mean())
    return float(torch.stack(found).mean())


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
    parser.add_argument("--least-crop", type=float, default=0.08, help="of the area, in RandomResizedCrop")
    parser.add_argument("--norm-momentum", type=float, help="of BatchNorm; else the architecture's own")
    return parser.parse_args()


if __name__ == "__main__":
    main()
