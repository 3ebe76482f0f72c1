"""A whole training, epoch by epoch, and what is measured on the way."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nas.data.dataset import Dataset
from nas.training.batches import TrainingBatches
from nas.training.loop import Normalise, Trainer, Training
from nas.training.validation import Validation, settled_copy, validate


@dataclass(frozen=True, slots=True)
class Epoch:
    """One row of metrics.csv.

    Attributes:
        epoch: From 1.
        step: Steps since the beginning.
        image_size: Pixels a side of the training images.
        train_loss: Mean over the epoch's steps, with label smoothing; lower is better.
        val_accuracy: Top-1 on the validation split, 0 to 1; higher is better.
        val_loss: Mean cross-entropy there, without label smoothing; lower is better.
        learning_rate: Of the epoch's last step.
        train_s: Seconds since the beginning, without validations and without the time between interruption and resume.
        elapsed_s: Likewise, validations included.
    """

    epoch: int
    step: int
    image_size: int
    train_loss: float
    val_accuracy: float
    val_loss: float
    learning_rate: float
    train_s: float
    elapsed_s: float


class Course:
    """An `on_step` of `run` that validates a copy of the network after every epoch, and may end the training.

    The copy has the average's weights, where the recipe has one, and BatchNorm statistics that are estimated again, at
    the size of validation: those of a training under way lag behind the weights, and are of another image size in all
    phases but the last. It is a `Companion` of a checkpoint: a training that goes on knows its earlier epochs.

    Args:
        trainer: The network and its recipe.
        dataset: On the trainer's device.
        batches: That it is trained on.
        normalise: From stored images to those that it is validated on.
        on_step: Called with the number of each step, from 1.
        on_epoch: Called with each epoch's numbers and the network that was validated.
        patience: Epochs without a better accuracy after which training ends; None for never.
        clock: Seconds from any beginning, never going back.

    Attributes:
        epochs: That have ended.
    """

    def __init__(
        self,
        trainer: Trainer,
        dataset: Dataset,
        batches: TrainingBatches,
        normalise: Normalise,
        *,
        on_step: Callable[[int], None],
        on_epoch: Callable[[Epoch, nn.Module], None],
        patience: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._trainer, self._dataset, self._batches, self._normalise = trainer, dataset, batches, normalise
        self._on_step, self._on_epoch, self._patience, self._clock = on_step, on_epoch, patience, clock
        self.epochs: list[Epoch] = []
        self._last: tuple[nn.Module, Validation] | None = None
        self._losses: list[Tensor] = []
        self._began_s = clock()
        self._validation_s = 0.0

    def __call__(self, step: int, loss: Tensor) -> bool:
        """Take in a step and its loss; return whether to stop after it."""
        self._losses.append(loss)
        self._on_step(step)
        if not self._batches.ends_epoch:
            return False
        train_loss = torch.stack(self._losses).mean().item()  # Waits for the device, so it is training.
        ended_s = self._clock()
        self._last = model, validation = self._validate()
        now_s = self._clock()
        epoch = Epoch(
            epoch=self._batches.epoch,
            step=step,
            image_size=self._batches.image_size,
            train_loss=train_loss,
            val_accuracy=validation.accuracy,
            val_loss=validation.loss,
            learning_rate=self._trainer.optimizer.param_groups[0]["lr"],
            train_s=ended_s - self._began_s - self._validation_s,
            elapsed_s=now_s - self._began_s,
        )
        self._validation_s += now_s - ended_s
        self._losses.clear()
        self.epochs.append(epoch)
        self._on_epoch(epoch, model)
        return self._patience is not None and self._epochs_since_the_best() >= self._patience

    def last_validated(self) -> tuple[nn.Module, Validation]:
        """Return the network that was validated last, and how it did; it is validated if only the checkpoint saw it."""
        if self._last is None:
            self._last = self._validate()
        return self._last

    def _validate(self) -> tuple[nn.Module, Validation]:
        trainer = self._trainer
        trained = trainer.model if trainer.average is None else trainer.average.averaged(trainer.model)
        model = settled_copy(trained, self._dataset.train, self._normalise)
        return model, validate(model, self._dataset.val, self._normalise)

    def _epochs_since_the_best(self) -> int:
        best = max(self.epochs, key=lambda epoch: epoch.val_accuracy)
        return self.epochs[-1].epoch - best.epoch

    def notes(self) -> dict[str, Any]:
        return {
            "epochs": [asdict(epoch) for epoch in self.epochs],
            "elapsed_s": self._clock() - self._began_s,
            "validation_s": self._validation_s,
        }

    def recall(self, notes: dict[str, Any], training: Training) -> None:
        self.epochs = [Epoch(**epoch) for epoch in notes["epochs"]]
        self._began_s = self._clock() - notes["elapsed_s"]
        self._validation_s = notes["validation_s"]
        batches = training.batches
        under_way = 0 if batches.ends_epoch else batches.epoch_step
        self._losses = training.losses[len(training.losses) - under_way :]
