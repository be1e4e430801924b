"""``data/folds.parquet``: the images of train and val, dealt to folds from 1 to k, for cross-validation."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa

from stages.artifacts import tables
from stages.artifacts.cohort import Cohort, Subset
from stages.runtime import UserError

PATH = Path("data/folds.parquet")

_SCHEMA = pa.schema([("image", pa.string()), ("fold", pa.int32()), ("group", pa.string())])


@dataclass(frozen=True)
class Folds:
    """Which fold, from 1 to ``count``, each image of train and val is in.

    Attributes
    ----------
    frame
        Columns ``image, fold, group``. Images that would tie two folds together are absent; without them, groups can
        be smaller than the cohort's.
    """

    frame: pd.DataFrame
    count: int

    def cohort(self, whole: Cohort, fold: int) -> Cohort:
        """The images in folds, with the sides that they have for the model of ``fold``.

        ``test`` is the fold itself, on which the model is judged; ``val`` the next one (the first after the last),
        which chooses all that is chosen; ``train`` the others. Nothing of the real test side is in it, so that what
        follows need not know that this is a fold.

        Raises
        ------
        UserError
            If there is no such fold, a class is missing from one, or the folds are of another cohort.
        ValueError
            If a group is in two folds.
        """
        if not 1 <= fold <= self.count:
            raise UserError(f"there is no fold {fold}: cross_validation.folds has 1 to {self.count}")
        table = self.frame.set_index("image").reindex(whole.frame["image"])
        number = table["fold"].reset_index(drop=True)
        inside = number.notna().to_numpy()
        sealed = ~whole.frame["subset"].isin([Subset.TRAIN.value, Subset.VAL.value]).to_numpy()
        if inside.sum() != len(self.frame) or (inside & sealed).any():
            raise UserError(f"{PATH} is of another cohort: run 'dvc repro' to make it again")
        roles = dict.fromkeys(range(1, self.count + 1), Subset.TRAIN.value)
        roles |= {fold % self.count + 1: Subset.VAL.value, fold: Subset.TEST.value}
        frame = whole.frame[inside].reset_index(drop=True).assign(group=table["group"].to_numpy()[inside])
        numbers = number[inside].astype(int).reset_index(drop=True)
        self._require_every_class(frame, numbers, whole.classes)
        return Cohort(frame.assign(subset=numbers.map(roles)), whole.task, whole.classes)

    def _require_every_class(self, frame: pd.DataFrame, numbers: pd.Series, classes: tuple[str, ...]) -> None:
        """All folds at once, so that the first to run refuses and not the last."""
        for name in classes:
            found = set(numbers[frame[f"label:{name}"] == 1])
            for missing in sorted(set(range(1, self.count + 1)) - found):
                raise UserError(
                    f"no patient with '{name}' came to fold {missing}: it needs {self.count} patients of train and val "
                    "at least, in one batch: take fewer folds (cross_validation.folds), or add images of it"
                )

    def write(self, path: Path = PATH) -> None:
        """Write the table; the number of folds travels in its metadata."""
        tables.write(path, self.frame, _SCHEMA.with_metadata({"folds": str(self.count)}))

    @classmethod
    def read(cls, path: Path = PATH) -> "Folds":
        """Read what :meth:`write` wrote. Raises :class:`~stages.runtime.UserError` if it is missing."""
        return cls(tables.read(path, _SCHEMA), int(tables.metadata(path)["folds"]))
