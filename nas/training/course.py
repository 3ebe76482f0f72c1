"""A whole training, epoch by epoch, and what is measured on the way."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nas.data.dataset import Dataset
from nas.training.loop import Normalise, Trainer, fit, num_steps
from nas.training.validation import Validation, settled_copy, validate


@dataclass(frozen=True, slots=True)
class Epoch:
    """One row of metrics.csv.

    Attributes:
        epoch: From 1.
        step: Steps since the beginning.
        train_loss: Mean over the epoch's steps, with label smoothing; lower is better.
        val_accuracy: Top-1 on the validation split, 0 to 1; higher is better.
        val_loss: Mean cross-entropy there, without label smoothing; lower is better.
        learning_rate: Of the epoch's last step.
        elapsed_s: Seconds since the beginning, validation included.
    """

    epoch: int
    step: int
    train_loss: float
    val_accuracy: float
    val_loss: float
    learning_rate: float
    elapsed_s: float


def fit_and_validate(
    trainer: Trainer,
    dataset: Dataset,
    num_epochs: int,
    normalise: Normalise,
    seed: int,
    *,
    on_step: Callable[[int], None],
    on_epoch: Callable[[Epoch, nn.Module], None],
) -> tuple[nn.Module, Validation]:
    """Train with `fit`, and validate a copy with re-estimated BatchNorm statistics after every epoch.

    Args:
        trainer: The network and its recipe.
        dataset: On the trainer's device.
        num_epochs: Passes over the training split, at least 1.
        normalise: From stored to network images.
        seed: Of data order and augmentation.
        on_step: Called with the number of each step, from 1.
        on_epoch: Called with each epoch's numbers and the network that was validated.

    Returns:
        The network that was validated last, and how it did.

    Raises:
        DivergedError: If the loss does not stay finite.
    """
    began = time.monotonic()
    steps_an_epoch = num_steps(dataset.train, trainer.recipe, 1)
    losses: list[Tensor] = []
    last: tuple[nn.Module, Validation] | None = None

    def after_step(step: int, loss: Tensor) -> None:
        nonlocal last
        losses.append(loss)
        on_step(step)
        if step % steps_an_epoch:
            return
        model = settled_copy(trainer.model, dataset.train, normalise)
        validation = validate(model, dataset.val, normalise)
        last = model, validation
        epoch = Epoch(
            epoch=step // steps_an_epoch,
            step=step,
            train_loss=torch.stack(losses).mean().item(),
            val_accuracy=validation.accuracy,
            val_loss=validation.loss,
            learning_rate=trainer.optimizer.param_groups[0]["lr"],
            elapsed_s=time.monotonic() - began,
        )
        losses.clear()
        on_epoch(epoch, model)

    fit(trainer, dataset.train, num_epochs, normalise, seed, after_step)
    assert last is not None, "an epoch has at least one step"
    return last
