"""How a network is trained: optimizer, schedule and their strengths, as data."""

import math
from dataclasses import dataclass
from typing import Literal

from nas.errors import invalid


@dataclass(frozen=True, slots=True)
class Recipe:
    """Attributes:
    optimizer: "adamw", or "sgd" with Nesterov momentum.
    learning_rate: Peak, at `batch_size`.
    batch_size: Images in a step.
    warmup_fraction: Share of all steps in which the learning rate rises linearly from 0.
    decay: Shape of the fall to 0 after that.
    momentum: Of SGD; AdamW's first beta.
    weight_decay: Of convolutions and the classifier; norms and biases have none.
    label_smoothing: Share of the target spread over all classes.
    flip: Whether training images are mirrored at random.
    shift: Pixels by which training images are shifted at random, at most.
    """

    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = 0.003
    batch_size: int = 64
    warmup_fraction: float = 0.15
    decay: Literal["cosine", "linear"] = "cosine"
    momentum: float = 0.9
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    flip: bool = True
    shift: int = 2

    def __post_init__(self) -> None:
        if self.batch_size < 2:
            raise invalid("batch_size", "at least 2 (BatchNorm needs two images)", self.batch_size, "Raise it.")
        if not self.learning_rate > 0:
            raise invalid("learning_rate", "above 0", self.learning_rate, "Raise it.")
        if not 0 <= self.warmup_fraction < 1:
            raise invalid("warmup_fraction", "from 0 up to, not including, 1", self.warmup_fraction, "Lower it.")

    def rate(self, step: float, num_steps: int) -> float:
        """Return the learning rate of step 0 to num_steps - 1: linear warm-up, then a fall that ends near 0.

        A schedule that ends is worth more than a long one that is cut off: every fidelity is a complete short run.
        """
        num_warmup = self.warmup_fraction * num_steps
        if step < num_warmup:
            return self.learning_rate * (step + 1) / (num_warmup + 1)
        left = 1 - (step - num_warmup) / max(1.0, num_steps - num_warmup)
        share = left if self.decay == "linear" else 0.5 * (1 - math.cos(math.pi * left))
        return self.learning_rate * share
