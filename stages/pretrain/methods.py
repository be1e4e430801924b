"""What a network learns from two views of each image, by the heads and losses of lightly."""

import copy

import torch
from lightly.loss import NegativeCosineSimilarity, NTXentLoss
from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead, SimCLRProjectionHead
from lightly.models.utils import update_momentum
from lightly.utils.scheduler import cosine_schedule
from torch import Tensor, nn

from stages.pretrain.params import Byol, SelfSupervised, SimCLR

_CONTRASTED = 128
_PREDICTED = 256
"""Numbers that a head makes of an image, as in the papers; the layer before them is as wide, in features, as there."""


class Contrast(nn.Module):
    """SimCLR (Chen et al. 2020): NT-Xent between projections of all views of a batch."""

    def __init__(self, backbone: nn.Module, features: int, settings: SimCLR) -> None:
        super().__init__()
        self.backbone = backbone
        self.projection = SimCLRProjectionHead(features, features, _CONTRASTED)
        self._nt_xent = NTXentLoss(settings.temperature)

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 128) of the first views and of the second."""
        first, second = self.projection(self.backbone(views)).chunk(2)
        return first, second

    def loss(self, made: tuple[Tensor, Tensor]) -> Tensor:
        """Cross-entropy of finding an image's other view among all others, of what :meth:`forward` made."""
        loss: Tensor = self._nt_xent(*made)
        return loss

    def after(self, step: int, steps: int) -> None:
        """Nothing is left to do when step ``step`` of ``steps`` (from 0) is taken."""


class Distillation(nn.Module):
    """BYOL (Grill et al. 2020): predict a moving average's projection of the other view."""

    def __init__(self, backbone: nn.Module, features: int, settings: Byol) -> None:
        super().__init__()
        self.backbone = backbone
        self.projection = BYOLProjectionHead(features, 2 * features, _PREDICTED)
        self.prediction = BYOLPredictionHead(_PREDICTED, 2 * features, _PREDICTED)
        self.average = copy.deepcopy(nn.Sequential(self.backbone, self.projection)).requires_grad_(requires_grad=False)
        self._ema = settings.ema
        self._likeness = NegativeCosineSimilarity()

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """(2 n, 256) predictions, and the projections of the same views that are to be predicted from the others."""
        predicted = self.prediction(self.projection(self.backbone(views)))
        with torch.no_grad():
            wanted = self.average(views)
        return predicted, wanted

    def loss(self, made: tuple[Tensor, Tensor]) -> Tensor:
        """Mean square distance of the normalised vectors, from 0 to 4, of what :meth:`forward` made."""
        predicted, wanted = made
        likeness: Tensor = self._likeness(predicted, torch.cat(wanted.chunk(2)[::-1]))
        return 2 + 2 * likeness

    def after(self, step: int, steps: int) -> None:
        """Move the average when step ``step`` of ``steps`` (from 0) is taken."""
        moving = nn.Sequential(self.backbone, self.projection)
        update_momentum(moving, self.average, cosine_schedule(step, steps, self._ema, 1.0))


def method(settings: SelfSupervised, backbone: nn.Module, features: int) -> Contrast | Distillation:
    """The network that ``settings`` trains around ``backbone``, seeded by torch's generator."""
    match settings:
        case SimCLR():
            return Contrast(backbone, features, settings)
        case Byol():
            return Distillation(backbone, features, settings)
