"""How a network is trained: optimizer, schedule and their strengths, as data."""

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

from nas.errors import did_you_mean, invalid

Optimizer = Literal["adamw", "sgd", "rmsprop"]
Decay = Literal["cosine", "linear", "trapezoid", "exponential", "constant"]

COOLDOWN = 0.3
"""Share of all steps in which a trapezoid falls."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Attributes:
    optimizer: "adamw", "sgd", or "rmsprop", which is TensorFlow's (`nas.training.rmsprop`).
    learning_rate: Peak, at `batch_size`.
    batch_size: Images in a step.
    warmup_fraction: Share of all steps in which the learning rate rises linearly from 0.
    decay: Shape of the learning rate after that: a fall to 0 as a cosine, along a line, or along a line in the last
        `COOLDOWN` of all steps only ("trapezoid"; Hägele et al. 2024), or steps down ("exponential"), or no fall.
    momentum: Of SGD and RMSProp; AdamW's first beta.
    weight_decay: Of convolutions and the classifier; norms and biases have none. AdamW's is apart from the gradient,
        the others' is part of it.
    label_smoothing: Share of the target spread over all classes.
    flip: Whether training images are mirrored at random.
    shift: Pixels by which training images are shifted at random, at most.
    crop_area: Least share of an image's area that a random crop keeps, which is resized; None for shifts instead.
    nesterov: Whether SGD looks ahead along its momentum.
    warmup_epochs: Length of the warm-up, in place of `warmup_fraction`; None for that.
    decay_rate: Factor of the learning rate at each step down, above 0 and at most 1.
    decay_epochs: Epochs from one step down to the next, counted from the beginning of training: those that fall into
        the warm-up are made up for at its end, as the released code does.
    ema_decay: Of an average of the weights (`nas.training.ema`); None for no average.
    clip_grad_norm: Largest norm of the gradient, over all weights together, to which a longer one is scaled down; None
        for no limit.
    accumulate: Parts in which a step computes its batch, one after the other, so that it takes less memory. The
        gradient is that of the whole batch; but BatchNorm sees one part at a time.
    """

    optimizer: Optimizer = "adamw"
    learning_rate: float = 0.003
    batch_size: int = 64
    warmup_fraction: float = 0.15
    decay: Decay = "cosine"
    momentum: float = 0.9
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    flip: bool = True
    shift: int = 2
    crop_area: float | None = None
    nesterov: bool = True
    warmup_epochs: float | None = None
    decay_rate: float = 0.97
    decay_epochs: float = 2.4
    ema_decay: float | None = None
    clip_grad_norm: float | None = None
    accumulate: int = 1

    def __post_init__(self) -> None:
        _check_choice("optimizer", self.optimizer, get_args(Optimizer))
        _check_choice("decay", self.decay, get_args(Decay))
        if self.batch_size < 2:
            raise invalid("batch_size", "at least 2 (BatchNorm needs two images)", self.batch_size, "Raise it.")
        if not 0 <= self.warmup_fraction < 1:
            raise invalid("warmup_fraction", "from 0 up to, not including, 1", self.warmup_fraction, "Lower it.")
        if self.warmup_epochs is not None and not 0 <= self.warmup_epochs < math.inf:
            raise invalid("warmup_epochs", "at least 0", self.warmup_epochs, "Correct the value.")
        for name in ("learning_rate", "decay_rate", "decay_epochs", "ema_decay", "clip_grad_norm"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise invalid(name, "above 0", value, "Raise it.")
        if self.crop_area is not None and not 0 < self.crop_area <= 1:
            raise invalid("crop_area", "above 0 and at most 1", self.crop_area, "0.08 is usual for photographs.")
        if self.decay_rate > 1:
            raise invalid("decay_rate", "at most 1", self.decay_rate, "Lower it.")
        if self.ema_decay is not None and not self.ema_decay < 1:
            raise invalid("ema_decay", "below 1", self.ema_decay, "Lower it.")
        if not 1 <= self.accumulate <= self.batch_size // 2:
            rule = f"from 1 to half the batch size, {self.batch_size // 2}"
            raise invalid("accumulate", rule, self.accumulate, "BatchNorm needs two images in every part.")

    def rate(self, step: float, num_steps: int, num_epochs: float | None = None) -> float:
        """Return the learning rate of step 0 to num_steps - 1: linear warm-up, then what `decay` says.

        "cosine", "linear" and "trapezoid" end near 0. A schedule that ends is worth more than a long one that is cut
        off: every fidelity is a complete short run.

        Args:
            step: Or a place between two steps.
            num_steps: In all.
            num_epochs: In all; only what the recipe gives in epochs needs it.

        Raises:
            InvalidInputError: If it is needed and missing, or the warm-up takes longer than the whole training.
        """
        num_warmup = self._warmup_share(num_epochs) * num_steps
        if step < num_warmup:
            return self.learning_rate * (step + 1) / (num_warmup + 1)
        if self.decay == "constant":
            return self.learning_rate
        if self.decay == "exponential":
            # Quotients of whole numbers that ought to be whole may come out a little too small.
            falls = math.floor(step * _known(num_epochs) / (num_steps * self.decay_epochs) + 1e-9)
            return self.learning_rate * self.decay_rate**falls
        falls_from = num_warmup if self.decay != "trapezoid" else max(num_warmup, (1 - COOLDOWN) * num_steps)
        left = min(1.0, 1 - (step - falls_from) / max(1.0, num_steps - falls_from))
        return self.learning_rate * (0.5 * (1 - math.cos(math.pi * left)) if self.decay == "cosine" else left)

    def batch_factor(self, batch_size: int) -> float:
        """Return what the learning rate is multiplied by in batches of another size than the recipe's.

        SGD's and RMSProp's is in proportion to the batch, as in the published recipes (Goyal et al. 2017). AdamW's goes
        with the square root: its steps do not grow with the gradient (Malladi et al. 2022).
        """
        ratio = batch_size / self.batch_size
        return math.sqrt(ratio) if self.optimizer == "adamw" else ratio

    def _warmup_share(self, num_epochs: float | None) -> float:
        if self.warmup_epochs is None:
            return self.warmup_fraction
        num_epochs = _known(num_epochs)
        if self.warmup_epochs >= num_epochs:
            rule = f"below the number of epochs, {num_epochs:g}"
            raise invalid("warmup_epochs", rule, self.warmup_epochs, "Train longer, or shorten the warm-up.")
        return self.warmup_epochs / num_epochs


def steps_an_epoch(num_images: int, batch_size: int) -> int:
    """Return how many batches an epoch has: a last incomplete one is left out, unless it is the only one."""
    return num_images // min(batch_size, num_images)


def _check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise invalid(name, f"among {', '.join(known)}", value, did_you_mean(value, known))


def _known(num_epochs: float | None) -> float:
    if num_epochs is None:
        raise invalid("num_epochs", "given", None, "The recipe has a schedule in epochs.")
    return num_epochs


_FINE_TUNE = Recipe(
    optimizer="rmsprop",
    learning_rate=0.001,
    batch_size=512,
    warmup_epochs=1,
    decay="constant",
    weight_decay=1e-5,
    shift=0,
    ema_decay=0.9996,
)

RECIPES: dict[str, Recipe] = {
    "efficientnet_v2": Recipe(
        optimizer="rmsprop",
        learning_rate=0.256,
        batch_size=4096,
        warmup_epochs=5,
        decay="exponential",
        weight_decay=1e-5,
        shift=0,
        ema_decay=0.9999,
    ),
    "fine_tune": _FINE_TUNE,
    "fine_tune_paper": replace(_FINE_TUNE, decay="cosine", weight_decay=0.0),
    "torchvision": Recipe(
        optimizer="sgd",
        learning_rate=0.5,
        batch_size=1024,
        warmup_epochs=5,
        decay="cosine",
        weight_decay=2e-5,
        shift=0,
        nesterov=False,
        ema_decay=0.999966,
    ),
}
"""Published recipes by name.

- "efficientnet_v2": ImageNet, 350 epochs; paper, section 5.1, and released code (google/automl, efficientnetv2:
  hparams.py, datasets.py, utils.py).
- "fine_tune": from ImageNet weights, 15 epochs and at least 10,000 steps; `ImagenetFt` of the released code. Dropout
  (1e-6 there) and stochastic depth belong to the network: `EfficientNet.set_regularisation`.
- "fine_tune_paper": the same as section 5.3 of the paper has it, which says nothing of the average; that is the code's.
- "torchvision": ImageNet, 600 epochs; what torchvision trained its efficientnet_v2_s and _m by (references/
  classification/README.md). Its average follows every 32nd step by 1.09e-3, which is 3.4e-5 a step; its warm-up begins
  at a hundredth of the peak; and its rate changes from epoch to epoch.

Images and their augmentation are not part of these; mirroring is common to all.
"""


def get_recipe(name: str, *, batch_size: int | None = None) -> Recipe:
    """Return a published recipe, with its learning rate in proportion to the batch size.

    Args:
        name: One of `RECIPES`.
        batch_size: Images in a step; None means as published.

    Raises:
        InvalidInputError: If there is no such recipe, or no such batch.
    """
    recipe = RECIPES.get(name)
    if recipe is None:
        raise invalid("recipe", "one that was published", name, did_you_mean(name, RECIPES))
    if batch_size is None:
        return recipe
    # A batch that cannot be is refused as such, before a learning rate of 0 is.
    rate = recipe.learning_rate * max(2, batch_size) / recipe.batch_size
    return replace(recipe, batch_size=batch_size, learning_rate=rate)
