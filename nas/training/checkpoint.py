"""`Checkpoint`: a file in which a training is kept, so that the next attempt goes on where the last one ended."""

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from nas.errors import InvalidInputError
from nas.training.loop import Training
from nas.training.state import TrainingState

logger = logging.getLogger(__name__)

EVERY_S = 60.0
"""Seconds of training that an interruption may cost."""
_SHARE = 0.05
"""Most of the time that may be spent on keeping it."""


class Companion(Protocol):
    """Something that looks at a training from step to step, and has to go on with it."""

    def notes(self) -> dict[str, Any]:
        """Return what it needs, as plain JSON types."""

    def recall(self, notes: dict[str, Any], training: Training) -> None:
        """Take up what `notes` returned; the training is where it was then."""


def is_kept(path: Path, what: str) -> bool:
    """Return whether a file holds a training of `what`, whole."""
    try:
        TrainingState.load(path, what)
    except (InvalidInputError, OSError):
        return False
    return True


class Checkpoint:
    """A `Keeper` that writes a training to a file about every minute, unless it ends within another.

    A file that cannot be written or read costs a warning, not the training.

    Args:
        path: Of the file. Its folder is made, if that one's parent is there.
        what: Says what is trained and how; a file of anything else is passed over.
        companion: What goes on with the training.
        every_s: Seconds between two writings, at least.
        clock: Seconds from any beginning, never going back.

    Attributes:
        earlier_s: Seconds that earlier attempts took to get to where this one went on.
    """

    def __init__(
        self,
        path: Path,
        what: str,
        companion: Companion | None = None,
        *,
        every_s: float = EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path, self._what, self._companion = path, what, companion
        self._every_s, self._clock = every_s, clock
        self._began_s, self._first_step, self._due_s = clock(), 0, math.inf
        self.earlier_s = 0.0

    def resume(self, training: Training) -> None:
        state = self._read()
        if state is not None:
            state.apply(training)
            self.earlier_s = float(state.notes["elapsed_s"])
            if self._companion is not None:
                self._companion.recall(state.notes["companion"], training)
            logger.info("Training goes on at step %d of %d.", state.step, training.batches.total)
        self._began_s, self._first_step = self._clock(), training.batches.step
        self._due_s = self._began_s + self._every_s

    def after_step(self, training: Training) -> None:
        now_s = self._clock()
        if now_s < self._due_s:
            return
        batches = training.batches
        a_step_s = (now_s - self._began_s) / (batches.step - self._first_step)
        if (batches.total - batches.step) * a_step_s < self._every_s:
            self._due_s = math.inf
            return
        self._write(training, now_s)

    def remove(self) -> None:
        """Remove the file, if there is one: the training has ended, or is to begin anew."""
        self._path.unlink(missing_ok=True)

    def _read(self) -> TrainingState | None:
        try:
            return TrainingState.load(self._path, self._what)
        except FileNotFoundError:
            return None
        except (InvalidInputError, OSError) as error:
            logger.warning("A training begins anew: %s", error)
            return None

    def _write(self, training: Training, now_s: float) -> None:
        companion = {} if self._companion is None else self._companion.notes()
        notes = {"elapsed_s": self.earlier_s + now_s - self._began_s, "companion": companion}
        try:
            self._path.parent.mkdir(exist_ok=True)
            TrainingState.of(training, notes).save(self._path, self._what)
        except OSError as error:
            logger.warning("A training cannot be kept in %s: %s.", self._path, error.strerror or error)
        ended_s = self._clock()
        self._due_s = ended_s + max(self._every_s, (ended_s - now_s) / _SHARE)
