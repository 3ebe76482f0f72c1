"""Looking at a training on its way, at rungs, without changing where it goes."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from nas.data.dataset import Images
from nas.evaluation.job import StopRule
from nas.evaluation.measurement import Measurement, Rung
from nas.training.loop import BetweenBatches, Normalise, Trainer, Training, num_steps
from nas.training.validation import Validation, settled_copy, validate

NUM_VAL_IMAGES = 1000
NUM_SETTLING_BATCHES = 2
"""A validation on the way is cheap: it uses a part of the images, and re-estimates BatchNorm on few training images."""

_WINDOW = 16


def rung_steps(shares: Sequence[float], total: int) -> dict[int, float]:
    """Return the steps, of `total`, after which to look, and their shares; the last step is the end and no rung."""
    steps = {max(1, round(share * total)): share for share in shares}
    return {step: share for step, share in steps.items() if step < total}


class RungWatch:
    """An `on_step` of `fit` that takes note of the training loss at rungs, and asks a rule whether to stop.

    A copy of the network is validated at each rung if the rule needs that, else only where training is stopped.

    It is a `Companion` of a checkpoint: where a training goes on that was interrupted, its rungs are not lost.

    Args:
        rule: What is asked; None for no rungs.
        known: What is known of the candidate before its training.
        val: Validation images on the device of training; a fixed, stratified part is used.
        between_batches: Called after every batch of a validation.
        paused_s: Returns the seconds so far that do not count as training.

    Attributes:
        images_seen: So far, repetitions counted.
        rungs: Passed so far.
        stopped: Whether training was stopped.
    """

    def __init__(
        self,
        rule: StopRule | None,
        known: Measurement,
        val: Images,
        *,
        between_batches: BetweenBatches,
        paused_s: Callable[[], float],
    ) -> None:
        self._rule, self._known = rule, known
        self._val = val.subset(min(NUM_VAL_IMAGES, len(val))) if rule is not None and rule.rungs else val
        self._between_batches, self._paused_s = between_batches, paused_s
        self.images_seen = 0
        self.rungs: tuple[Rung, ...] = ()
        self.stopped = False
        self._validation: Validation | None = None

    def begin(self, trainer: Trainer, data: Images, num_epochs: int, normalise: Normalise) -> None:
        """Take note of a training that begins now; the arguments are those of `fit`."""
        self._trainer, self._data, self._normalise = trainer, data, normalise
        total = num_steps(data, trainer.recipe, num_epochs)
        self._steps = rung_steps(self._rule.rungs if self._rule is not None else (), total)
        self._losses = deque[Tensor](maxlen=max(1, total // _WINDOW))
        self._batch_size = min(trainer.recipe.batch_size, len(data))
        self._began_s = self._clock()

    def __call__(self, step: int, loss: Tensor) -> bool:
        """Take in a step and its loss; return whether to stop after it."""
        self._losses.append(loss)
        self.images_seen = step * self._batch_size
        if self._rule is not None and step in self._steps:
            rung = self._look(self._steps[step])
            if self._rule.validates:
                rung = self._validated(rung)
            self.stopped = self._rule.stops(replace(self._known, rungs=(*self.rungs, rung)))
            if self.stopped and not self._rule.validates:
                rung = self._validated(rung)
            self.rungs = (*self.rungs, rung)
        return self.stopped

    def result(self, validation: Validation | None, train_loss: float) -> Measurement:
        """Return what is known when training has ended; without a validation the last rung says how good it is."""
        last = validation or self._validation
        assert last is not None, "who was stopped was validated there"
        measurement = replace(
            self._known,
            accuracy=last.accuracy,
            accuracy_stderr=last.accuracy_stderr,
            val_loss=last.loss,
            train_loss=train_loss,
            images_seen=self.images_seen,
            stopped=self.stopped,
            rungs=self.rungs,
        )
        predicted = self._rule.predict(measurement) if self._rule is not None and self.stopped else None
        return replace(measurement, predicted_accuracy=predicted)

    def notes(self) -> dict[str, Any]:
        return {"rungs": [asdict(rung) for rung in self.rungs], "elapsed_s": self._clock() - self._began_s}

    def recall(self, notes: dict[str, Any], training: Training) -> None:
        self.rungs = tuple(Rung(**rung) for rung in notes["rungs"])
        self._began_s = self._clock() - notes["elapsed_s"]
        self._losses.extend(training.losses)

    def _look(self, share: float) -> Rung:
        # Reading the loss waits for the device, so that the steps before it count as training.
        train_loss = torch.stack(list(self._losses)).mean().item()
        return Rung(
            share=share,
            images_seen=self.images_seen,
            accuracy=None,
            val_loss=None,
            num_val_images=0,
            train_loss=train_loss,
            train_s=self._clock() - self._began_s - sum(rung.rung_s for rung in self.rungs),
            rung_s=0.0,
        )

    def _validated(self, rung: Rung) -> Rung:
        began_s = self._clock()
        model = settled_copy(
            self._trainer.model, self._data, self._normalise, NUM_SETTLING_BATCHES, self._between_batches
        )
        found = self._validation = validate(model, self._val, self._normalise, self._between_batches)
        return replace(
            rung,
            accuracy=found.accuracy,
            val_loss=found.loss,
            num_val_images=found.num_images,
            rung_s=self._clock() - began_s,
        )

    def _clock(self) -> float:
        return time.perf_counter() - self._paused_s()
