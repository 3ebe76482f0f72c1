"""NASWOT: how differently the units of an untrained network respond to different images."""

import torch
from torch import Tensor, nn

from nas.evaluation.signals.copies import ACTIVATIONS, training_copy


def naswot(model: nn.Module, images: Tensor, labels: Tensor) -> float:  # noqa: ARG001
    """Return log |det K|, where K counts for each pair of images the units that are on for both or off for both.

    A unit is on where what enters an activation is above 0, for SiLU as for ReLU. Higher is better; minus infinity
    where two images have equal codes, that is where the network cannot tell them apart (Mellor et al. 2021, "Neural
    Architecture Search without Training", section 4). The value grows with the number of units and of images.
    """
    scored = training_copy(model)
    kernel = torch.zeros(len(images), len(images), dtype=torch.float64, device=images.device)

    def count(_: nn.Module, entering: tuple[Tensor, ...]) -> None:
        on = (entering[0] > 0).flatten(1).float()
        kernel.add_(on @ on.T + (1 - on) @ (1 - on).T)

    for module in scored.modules():
        if isinstance(module, ACTIVATIONS):
            module.register_forward_pre_hook(count)
    with torch.no_grad():
        scored(images)
    return float(torch.linalg.slogdet(kernel).logabsdet)
