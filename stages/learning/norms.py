"""BatchNorm's running statistics, which judge a network that is still learning."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

_MOMENTUM = 0.1


def quicken(network: nn.Module) -> None:
    """Give a new batch a weight of 0.1 at least in the running statistics.

    MobileNetV3 comes with 0.01, for epochs of thousands of batches: after a hundred they would still be half those of
    the start, and val judged by them means nothing.
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm) and module.momentum is not None:
            module.momentum = max(module.momentum, _MOMENTUM)
