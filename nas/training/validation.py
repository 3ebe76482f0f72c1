"""How good a network is on images it was not trained on."""

import copy
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.data.dataset import Images
from nas.training.loop import (
    EVAL_BATCH_SIZE,
    BetweenBatches,
    Normalise,
    nothing,
    predict_labelled,
    reestimate_batch_norm,
)


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

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, the standard error among them; a loss that is not finite is None."""
        loss = self.loss if math.isfinite(self.loss) else None
        return {**asdict(self), "loss": loss, "accuracy_stderr": self.accuracy_stderr}


@dataclass(frozen=True, slots=True)
class Judgement:
    """Attributes:
    validation: Over all images.
    confusion: Images of each true class (rows) by the class that they were taken for (columns).
    """

    validation: Validation
    confusion: npt.NDArray[np.int64]


def accuracy_stderr(accuracy: float, num_images: int) -> float:
    """Return the standard error of a share of `num_images`: that of a binomial distribution."""
    return math.sqrt(accuracy * (1 - accuracy) / num_images)


def validate(
    model: nn.Module, data: Images, normalise: Normalise, between_batches: BetweenBatches = nothing
) -> Validation:
    """Measure a network on at least one image; it is left as it was."""
    return _validation(*predict_labelled(model, data, normalise, between_batches))


def judge(
    model: nn.Module, data: Images, normalise: Normalise, num_classes: int, batch_size: int = EVAL_BATCH_SIZE
) -> Judgement:
    """Measure a network on at least one image, class by class; it is left as it was."""
    logits, labels = predict_labelled(model, data, normalise, batch_size=batch_size)
    pairs = torch.bincount(labels * num_classes + logits.argmax(1), minlength=num_classes**2)
    return Judgement(_validation(logits, labels), pairs.view(num_classes, num_classes).cpu().numpy())


def _validation(logits: Tensor, labels: Tensor) -> Validation:
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
