"""The training loop, validation, and BatchNorm re-estimation, on batches of images that are on the device."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.data.batches import augment, epoch_order, prepare
from nas.data.dataset import Dataset, Images
from nas.errors import DivergedError, invalid
from nas.models.builder import EfficientNet
from nas.training.batches import Phase, TrainingBatches
from nas.training.ema import WeightAverage
from nas.training.recipe import Recipe, steps_an_epoch
from nas.training.rmsprop import RMSpropTF

EVAL_BATCH_SIZE = 500


Normalise = Callable[[Tensor], Tensor]
"""From stored images, uint8 (N, C, H, W), to what the network reads: float, channels-last, at its image size."""


OnStep = Callable[[int, Tensor], bool | None]
"""Called with the number of a step, from 1, and its loss, still on the device; True ends the training."""

BetweenBatches = Callable[[], None]
"""Called after every batch, whose work may still be queued on the device: a place to let other work go first."""


def nothing() -> None:
    """Do nothing between batches."""


def normaliser(dataset: Dataset, image_size: int | None = None) -> Normalise:
    """Return the normalisation by a data set's own mean and standard deviation, at one image size."""
    return partial(
        prepare, mean=dataset.mean, std=dataset.std, memory_format=torch.channels_last, image_size=image_size
    )


def autocast(device: torch.device, dtype: torch.dtype | None = None) -> AbstractContextManager[object]:
    """Return mixed precision for convolutions, in `dtype` or the device's `compute_dtype`; nothing for float32."""
    dtype = dtype or compute_dtype(device)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)


def compute_dtype(device: torch.device) -> torch.dtype:
    """Return what convolutions compute in: bfloat16 on an accelerator that has it, else float16; float32 on the CPU."""
    if device.type == "cpu":
        return torch.float32
    if device.type == "cuda" and not torch.cuda.is_bf16_supported():
        return torch.float16
    return torch.bfloat16


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the recipe's optimizer; its weight decay leaves out biases and norms (all one-dimensional)."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    free = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": free, "weight_decay": 0.0}]
    if recipe.optimizer == "sgd":
        nesterov = recipe.nesterov and recipe.momentum > 0
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=nesterov)
    if recipe.optimizer == "rmsprop":
        return RMSpropTF(groups, lr=recipe.learning_rate, momentum=recipe.momentum)
    # One pass over all that AdamW keeps; its many small operators would be 4% of a training step on a CPU.
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(recipe.momentum, 0.99), fused=True)


class Trainer:
    """One network and its optimizer; `step` is what is timed and what is trained with.

    Args:
        model: Moved to the device.
        recipe: Gives the optimizer and what else a step does.
        device: Where to train.
        dtype: What convolutions compute in; None means the device's `compute_dtype`.
        memory_format: Of the weights.

    Attributes:
        average: Of the weights, if the recipe has one; `average.averaged(model)` is what to validate.
    """

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        device: torch.device,
        *,
        dtype: torch.dtype | None = None,
        memory_format: torch.memory_format = torch.channels_last,
    ) -> None:
        self.model = model.to(device=device, memory_format=memory_format)  # type: ignore[call-overload]
        self.forward: Callable[[Tensor], Tensor] = self.model  # a compiled form of it may take its place
        self.recipe = recipe
        self.device = device
        self.dtype = dtype or compute_dtype(device)
        self.optimizer = make_optimizer(self.model, recipe)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)
        self.average = None if recipe.ema_decay is None else WeightAverage(self.model, recipe.ema_decay)

    def step(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Do one training step.

        Args:
            inputs: Normalised images (N, C, H, W).
            targets: Labels, int64 (N,), or the share of every class, float32 (N, num_classes).

        Returns:
            The mean loss over the batch, still on the device.
        """
        loss = self._add_gradients(inputs, targets)
        if self.recipe.clip_grad_norm is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(self.model)
        return loss

    def _add_gradients(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Compute the gradient of a batch, in parts; return its mean loss."""
        # A batch that is smaller than the recipe's may have fewer parts: BatchNorm needs two images in each.
        num_parts = max(1, min(self.recipe.accumulate, len(inputs) // 2))
        parts = zip(inputs.tensor_split(num_parts), targets.tensor_split(num_parts), strict=True)
        losses = [self._backward(*part, share=len(part[0]) / len(inputs)) for part in parts]
        return torch.stack(losses).sum()

    def _backward(self, inputs: Tensor, targets: Tensor, share: float) -> Tensor:
        """Add the gradient of a part of the batch; return what it adds to the loss."""
        with autocast(self.device, self.dtype):
            logits = self.forward(inputs)
        loss = functional.cross_entropy(logits.float(), targets, label_smoothing=self.recipe.label_smoothing) * share
        torch.autograd.backward(self.scaler.scale(loss))
        return loss.detach()

    def set_learning_rate(self, rate: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def set_regularisation(self, *, dropout: float | None, stochastic_depth: float | None) -> None:
        """Change how strongly the network is regularised, see `EfficientNet.set_regularisation`; None: as it was built.

        Raises:
            InvalidInputError: If a probability is out of range, or is given for a network of another kind.
        """
        if isinstance(self.model, EfficientNet):
            self.model.set_regularisation(dropout=dropout, stochastic_depth=stochastic_depth)
        elif dropout is not None or stochastic_depth is not None:
            kind = type(self.model).__name__
            raise invalid("model", "an EfficientNet, to change its regularisation", kind, "Build it with build_model.")


def one_phase(recipe: Recipe, num_epochs: int, normalise: Normalise) -> tuple[Phase]:
    """Return a recipe's own training: all epochs at one image size, with flips and shifts."""

    def make(images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return normalise(augment(images, generator, flip=recipe.flip, shift=recipe.shift)), labels

    return (Phase(num_epochs, recipe.batch_size, make),)


def num_steps(data: Images, recipe: Recipe, num_epochs: int) -> int:
    """Return how many steps `fit` takes."""
    return num_epochs * steps_an_epoch(len(data), recipe.batch_size)


@dataclass(frozen=True, slots=True)
class Training:
    """A training under way: all that changes from step to step.

    Attributes:
        trainer: The network and its optimizer.
        batches: At the step that was done last.
        losses: Of each step so far, on the device.
    """

    trainer: Trainer
    batches: TrainingBatches
    losses: list[Tensor]


class Keeper(Protocol):
    """Keeps a training now and then, so that it can go on after an interruption (`nas.training.checkpoint`)."""

    def resume(self, training: Training) -> None:
        """Bring a training that is about to begin to where it was kept, if it was."""

    def after_step(self, training: Training) -> None:
        """Keep a training, if it is time."""


def fit(
    trainer: Trainer,
    data: Images,
    num_epochs: int,
    normalise: Normalise,
    seed: int,
    on_step: OnStep | None = None,
    between_batches: BetweenBatches = nothing,
    keeper: Keeper | None = None,
) -> float:
    """Train over all epochs as the recipe says; like `run` on the batches of `one_phase`.

    Args:
        trainer: The network and its recipe.
        data: Training images, which come to the trainer's device.
        num_epochs: Passes over them.
        normalise: From stored to network images.
        seed: Of data order and augmentation.
        on_step: See `run`, like the rest.
        between_batches: Called after every step.
        keeper: Keeps the training on its way.
    """
    batches = TrainingBatches(data, one_phase(trainer.recipe, num_epochs, normalise), seed)
    return run(trainer, batches, on_step, between_batches, keeper)


def run(
    trainer: Trainer,
    batches: TrainingBatches,
    on_step: OnStep | None = None,
    between_batches: BetweenBatches = nothing,
    keeper: Keeper | None = None,
) -> float:
    """Train on all batches, with the recipe's schedule of the learning rate and the regularisation of each phase.

    Args:
        trainer: The network and its recipe.
        batches: Of which none was taken.
        on_step: Called with the number of the step, from 1, and its loss; training ends there if it returns True.
        between_batches: Called after every step.
        keeper: Keeps the training on its way. One that was kept goes on: callers are not told of its first steps again.

    Returns:
        The mean loss of the last tenth of the steps.

    Raises:
        DivergedError: As soon as a check, made about twenty times a run, finds a loss that is not finite.
    """
    trainer.model.train()
    training = Training(trainer, batches, [])
    if keeper is not None:
        keeper.resume(training)
    losses, total, phase = training.losses, batches.total, None
    for inputs, targets in batches:
        step = batches.step
        if batches.phase is not phase:
            phase = batches.phase
            trainer.set_regularisation(dropout=phase.dropout, stochastic_depth=phase.stochastic_depth)
        rate = trainer.recipe.rate(batches.schedule_position, total, batches.num_epochs)
        trainer.set_learning_rate(rate * trainer.recipe.batch_factor(phase.batch_size))
        losses.append(trainer.step(inputs, targets))
        # Reading a loss waits for the device, so it is not done every step.
        if step % max(1, total // 20) == 0 and not torch.isfinite(losses[-1]):
            raise DivergedError(f"training loss is {losses[-1].item()} at step {step} of {total}")
        if on_step is not None and on_step(step, losses[-1]):
            break
        if keeper is not None:
            keeper.after_step(training)
        between_batches()
    tail = torch.stack(losses[-max(1, total // 10) :]).mean().item()
    if not math.isfinite(tail):
        raise DivergedError(f"training loss is {tail} at the end")
    return tail


@torch.no_grad()
def reestimate_batch_norm(
    model: nn.Module,
    data: Images,
    normalise: Normalise,
    num_batches: int = 8,
    between_batches: BetweenBatches = nothing,
) -> None:
    """Replace BatchNorm's running statistics by the plain average over batches of training images.

    After few steps the running averages lag far behind the weights: accuracy can read as chance where they are fine.
    The images are drawn at random, always the same ones: those of a folder are in the order of their classes.
    """
    was_training = model.training
    model.train()
    # What is frozen stays in evaluation mode, and keeps the statistics that it has.
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d) and module.training]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    # Shuffled, since folders are read class by class; always alike, since it is part of measuring.
    order = epoch_order(len(data), torch.Generator().manual_seed(0)).to(data.device)
    size = min(256, len(data))
    whole_batches = min(num_batches, len(data) // size) * size
    for images, _ in data.batches(torch.split(order[:whole_batches], size)):
        with autocast(data.device):
            model(normalise(images))
        between_batches()
    model.train(was_training)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


@torch.no_grad()
def predict(model: nn.Module, data: Images, normalise: Normalise, between_batches: BetweenBatches = nothing) -> Tensor:
    """Return logits (N, num_classes) in evaluation mode."""
    return predict_labelled(model, data, normalise, between_batches)[0]


@torch.no_grad()
def predict_labelled(
    model: nn.Module,
    data: Images,
    normalise: Normalise,
    between_batches: BetweenBatches = nothing,
    batch_size: int = EVAL_BATCH_SIZE,
) -> tuple[Tensor, Tensor]:
    """Return logits in evaluation mode, and labels, of the images that could be decoded."""
    was_training = model.training
    model.eval()
    logits, labels = [], []
    with autocast(data.device):
        for images, known in data.batches(torch.split(torch.arange(len(data), device=data.device), batch_size)):
            logits.append(model(normalise(images)).float())
            labels.append(known)
            between_batches()
    model.train(was_training)
    return torch.cat(logits), torch.cat(labels)
