"""Do the labels fit the images, and does the disk have room? Every doubt is a :class:`UserError` of one line."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from stages.artifacts.cohort import DEALT
from stages.labels import Labels, labelled
from stages.preprocess.params import PreprocessParams
from stages.runtime import UserError
from stages.split.params import SplitParams

_SPARE = 1.2
"""Of the estimate, for what is not counted: tables, models, reports."""

_SHOWN = 10  # sites in a message

_FEATURE_BYTES = 2048 * 4
"""Of one image's features: the widest of the usual backbones, as float32."""


def check_labels(images: pd.DataFrame, table: Labels, section: SplitParams, quarantined: int) -> str:
    """Say how labels and images fit, or raise.

    Parameters
    ----------
    images
        The index of all batches.
    quarantined
        How many files of these batches were not accepted: as many labels may have lost their image.
    """
    values = table.of(images)
    known = labelled(values)
    outside = _held_out(images, section)
    if not known.any():
        raise UserError(
            f"not one label in {section.labels} meets an image: is split.key ({section.key}) the column that "
            "names them, and is ingest.key_file the key these batches were ingested with?"
        )
    missing = images[~known]["batch"].value_counts()
    if len(missing) and section.unlabelled == "error":
        named = ", ".join(f"{count} in {batch}" for batch, count in missing.items())
        raise UserError(
            f"images without a label in {section.labels}: {named}: add their labels, or set "
            "split.unlabelled: ignore in params.yaml to leave them out"
        )
    unknown = table.unknown(images)
    if unknown > quarantined and section.unknown_labels == "error":
        raise UserError(
            f"{unknown} of {len(table.values)} labels in {section.labels} are for images that no batch holds "
            f"({quarantined} files are in quarantine): add the images, remove the labels, or set "
            "split.unknown_labels: ignore in params.yaml"
        )
    _check_classes(images[known & ~outside], values[known & ~outside], section)
    return f"{int(known.sum())} of {len(images)} images are labelled; {unknown} labels have no image"


def _check_classes(images: pd.DataFrame, values: npt.NDArray[np.float32], section: SplitParams) -> None:
    for column, name in enumerate(section.classes):
        patients = images["patient"][values[:, column] == 1].nunique()
        if patients < len(DEALT):
            beside = " beside those that split.external holds out" if section.external.named else ""
            raise UserError(
                f"class '{name}' has {patients} patients{beside}, and train, val and test need one each at least: add "
                "images of it, or take it out of split.classes in params.yaml"
            )


def _held_out(images: pd.DataFrame, section: SplitParams) -> npt.NDArray[np.bool_]:
    """(N,) which images ``split.external`` names. Raises :class:`UserError` if it names what is not there, or all."""
    external = section.external
    for site in external.sites:
        if not (images["site"] == site).any():
            known = images["site"].value_counts()
            named = ", ".join(f"{key} ({count} images)" for key, count in known.head(_SHOWN).items())
            more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
            raise UserError(
                f"split.external.sites: no image is of site '{site}': the sites are {named or 'not stated'}{more}"
            )
    outside = external.held_out(images)
    if outside.all():
        raise UserError("split.external holds out every image, and none is left to train on: take something out of it")
    return outside


def bytes_needed(images: pd.DataFrame, pixels: PreprocessParams) -> int:
    """What preprocess and features will write, and DVC's cache once more (it copies where it cannot link)."""
    files = images["frames"].fillna(1).clip(lower=1).astype(int).value_counts()
    frames = sum(len(pixels.chosen(number)) * count for number, count in zip(files.index, files.tolist(), strict=True))
    return int(2 * _SPARE * frames * (pixels.size**2 + _FEATURE_BYTES))


def check_disk(needed: int, free: int) -> None:
    """Raise if ``needed`` bytes are more than ``free`` ones."""
    if needed > free:
        raise UserError(
            f"the disk has {free / 2**30:.1f} GiB free and this run needs about {needed / 2**30:.1f} GiB: make room "
            "('dvc gc --workspace' drops old results from the cache), or make preprocess.size smaller"
        )
