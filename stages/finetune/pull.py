"""L2-SP and L1-SP: what keeps a backbone near where it started (Li, Grandvalet and Davoine, ICML 2018)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from stages.finetune.params import L1SP, L2SP, Descent


class Pull:
    """The starting point of some parameters, and how hard they are pulled back to it."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], recipe: L2SP | L1SP) -> None:
        self._parameters = parameters
        self._recipe = recipe
        self.start = {name: parameter.detach().clone() for name, parameter in parameters.items()}

    def __call__(self) -> Tensor:
        """Half alpha times the square of the distance (L2), or alpha times the sum of the absolute distances (L1)."""
        away = [self._parameters[name] - start for name, start in self.start.items()]
        if isinstance(self._recipe, L2SP):
            return 0.5 * self._recipe.alpha * torch.stack([part.square().sum() for part in away]).sum()
        return self._recipe.alpha * torch.stack([part.abs().sum() for part in away]).sum()


def pull(backbone: Mapping[str, nn.Parameter], recipe: Descent) -> Pull | None:
    """What pulls ``backbone``'s parameters, where the recipe wants that."""
    return Pull(backbone, recipe) if isinstance(recipe, L2SP | L1SP) else None
