"""How good a network is on images it was not trained on."""

import copy
import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from nas.data.dataset import Images
from nas.training.loop import BetweenBatches, Normalise, nothing, predict_labelled, reestimate_batch_norm


@dataclass(frozen=True, slots=True)
class Validation:
    """Attributes:
    accuracy: Top-1, 0 to 1; higher is better.
    loss: Mean cross-entropy without label smoothing; lower is better.
    num_images: How many images both are of.
    """

    accuracy: float
    loss: float
    num_images: int

    @property
    def accuracy_stderr(self) -> float:
        return accuracy_stderr(self.accuracy, self.num_images)


def accuracy_stderr(accuracy: float, num_images: int) -> float:
    """Return the standard error of a share of `num_images`: that of a binomial distribution."""
    return math.sqrt(accuracy * (1 - accuracy) / num_images)


def validate(
    model: nn.Module, data: Images, normalise: Normalise, between_batches: BetweenBatches = nothing
) -> Validation:
    """Measure a network on at least one image; it is left as it was."""
    logits, labels = predict_labelled(model, data, normalise, between_batches)
    accuracy = (logits.argmax(1) == labels).double().mean().item()
    return Validation(accuracy, functional.cross_entropy(logits, labels).item(), len(labels))


def settled_copy(
    model: nn.Module,
    data: Images,
    normalise: Normalise,
    num_batches: int = 8,
    between_batches: BetweenBatches = nothing,
) -> nn.Module:
    """Return a copy in evaluation mode whose BatchNorm statistics are re-estimated on training images.

    Neither the model nor the random numbers of its training are touched, so a training that is looked at goes the same
    way as one that is not.

    Args:
        model: What is copied.
        data: Training images, which come to its device.
        normalise: From stored to network images.
        num_batches: Batches of 256 images that the statistics are estimated on.
        between_batches: Called after every batch.
    """
    device = data.device
    copied = copy.deepcopy(model)
    accelerators = [] if device.type == "cpu" else [device]
    # Dropout and stochastic depth draw random numbers.
    with torch.random.fork_rng(accelerators, device_type="cuda" if device.type == "cpu" else device.type):
        reestimate_batch_norm(copied, data, normalise, num_batches, between_batches)
    return copied.eval()
