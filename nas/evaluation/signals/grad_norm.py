"""The gradient's norm: how strongly an untrained network would be changed by its first batch."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.evaluation.signals.copies import training_copy


def grad_norm(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the Euclidean norm of the gradient of the cross-entropy over all parameters; higher is better.

    A score of networks in Abdelfattah et al. 2021, "Zero-Cost Proxies for Lightweight NAS", section 3.1.
    """
    scored = training_copy(model)
    parameters = [parameter for parameter in scored.parameters() if parameter.requires_grad]
    grads = torch.autograd.grad(functional.cross_entropy(scored(images), labels), parameters)
    return float(torch.stack([grad.double().square().sum() for grad in grads]).sum().sqrt())
