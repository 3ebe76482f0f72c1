"""Copies of a network to score, so that the network itself stays as it was."""

from copy import deepcopy

from torch import nn
from torchvision.ops import StochasticDepth

ACTIVATIONS = (nn.ReLU, nn.SiLU)
"""Layers that a unit is on or off behind."""


def training_copy(model: nn.Module) -> nn.Module:
    """Return a copy that normalises by the batch, as in training, and drops nothing, so that scores do not vary."""
    copied = deepcopy(model).train()
    for module in copied.modules():
        if isinstance(module, nn.Dropout | StochasticDepth):
            module.eval()
    return copied
