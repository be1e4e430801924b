"""What a backbone is worth while it learns without labels: labels judge it, they do not teach it."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from stages import inference
from stages.artifacts.cohort import Cohort, Subset
from stages.learning import probe, scores
from stages.loading import Images
from stages.networks import probabilities
from stages.runtime import UserError


@dataclass(frozen=True)
class Judge:
    """A linear probe of the frozen backbone, as the recipe ``linear_probe`` is: fit on train, judged on val."""

    cohort: Cohort
    candidates: list[float]  # inverse strengths C of its penalty
    device: torch.device

    def __call__(self, backbone: nn.Module) -> float:
        """AUROC on val with the best C. The backbone is left on the device, in evaluation mode.

        Raises
        ------
        UserError
            If a class has no training images, no class can be judged on val, or training has diverged.
        """
        train, val = (self.cohort.subset(side) for side in (Subset.TRAIN, Subset.VAL))
        features = [inference.logits(backbone, Images(side.frame), self.device) for side in (train, val)]
        if not all(np.isfinite(found).all() for found in features):
            raise UserError("the features are no longer numbers: lower the lr of this entry of self_supervised")
        task, classes = self.cohort.task, self.cohort.classes
        head = probe.fit(
            (features[0], train.labels()),
            (features[1], val.labels()),
            task,
            classes,
            candidates=self.candidates,
            class_weights=False,
            quiet=True,
        )
        found = probabilities(torch.from_numpy(head.logits(features[1])), task).numpy()
        return scores.auroc(val.labels(), found, task)
