"""SynFlow: how much weight the paths through an untrained network have."""

from copy import deepcopy

import torch
from torch import Tensor, nn

from nas.evaluation.signals.copies import ACTIVATIONS


def synflow(model: nn.Module, images: Tensor, labels: Tensor) -> float:  # noqa: ARG001
    """Return the logarithm of the sum over parameters of |parameter * dR/dparameter|; higher is better.

    R is the sum of the outputs for one image of ones, with every parameter at its absolute value, which makes it a sum
    over paths (Tanaka et al. 2020, "Pruning neural networks without any data by iteratively conserving synaptic flow",
    equation 2; as a score of networks Abdelfattah et al. 2021, "Zero-Cost Proxies for Lightweight NAS"). BatchNorm
    works by its running statistics, which leave everything as it is in a new network. Activations are left out: paths
    are positive, where ReLU would do nothing; the gates of squeeze-excitation stay. Double precision and the logarithm
    hold products over dozens of layers. Images serve for their shape alone; minus infinity where no path has weight.
    """
    scored = deepcopy(model).double().eval()
    for parent in list(scored.modules()):
        for name, child in parent.named_children():
            if isinstance(child, ACTIVATIONS):
                setattr(parent, name, nn.Identity())
    parameters = list(scored.parameters())
    with torch.no_grad():
        for parameter in parameters:
            parameter.abs_()
    flow = scored(torch.ones_like(images[:1], dtype=torch.float64)).sum()
    grads = torch.autograd.grad(flow, parameters, allow_unused=True)
    terms = [
        (value.detach() * grad).abs().sum() for value, grad in zip(parameters, grads, strict=True) if grad is not None
    ]
    return float(torch.stack(terms).sum().log())
