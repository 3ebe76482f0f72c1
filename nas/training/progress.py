"""Displays of a running training: a bar with the time left on a terminal, one line an epoch anywhere else."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from nas.training.course import Epoch


@dataclass(frozen=True, slots=True)
class Effort:
    """How much of a training there is to do: a step with large images takes longer than one with small ones.

    Attributes:
        stages: How many steps each has, and the cost of one, in any unit, for example multiply-adds.
    """

    stages: tuple[tuple[int, float], ...]

    @property
    def num_steps(self) -> int:
        return sum(steps for steps, _ in self.stages)

    def share(self, step: int) -> float:
        """Return what share of the cost has been met after a step, from 0 to 1."""
        done, before = 0.0, 0
        for steps, cost in self.stages:
            done += min(max(step - before, 0), steps) * cost
            before += steps
        return done / sum(steps * cost for steps, cost in self.stages)


class TrainingDisplay(Protocol):
    """Tell it of every step and every epoch, inside its with statement."""

    def step(self, number: int) -> None: ...

    def epoch(self, epoch: Epoch) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def make_training_display(effort: Effort, num_epochs: int, console: Console | None = None) -> TrainingDisplay:
    """Return a live display if `console` (by default one on stderr) is a terminal, else plain lines."""
    console = console or Console(stderr=True)
    kind = LiveTrainingDisplay if console.is_terminal else PlainTrainingDisplay
    return kind(console, effort, num_epochs)


class PlainTrainingDisplay:
    """One line for each epoch."""

    def __init__(self, console: Console, effort: Effort, num_epochs: int) -> None:
        self._console, self._effort, self._num_epochs = console, effort, num_epochs

    def step(self, number: int) -> None:
        pass

    def epoch(self, epoch: Epoch) -> None:
        share, validation_s = self._effort.share(epoch.step), epoch.elapsed_s - epoch.train_s
        # Validation is at one size all along.
        left_s = epoch.train_s * (1 / share - 1) + validation_s * (self._num_epochs / epoch.epoch - 1)
        line = f"{_describe(epoch, self._num_epochs)}  {epoch.elapsed_s:.1f} s  ETA {left_s:.0f} s"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class LiveTrainingDisplay:
    """A bar over all steps, and a line above it for each epoch that has ended."""

    def __init__(
        self, console: Console, effort: Effort, num_epochs: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._effort, self._num_epochs, self._begun = effort, num_epochs, False
        self._progress = Progress(
            TextColumn("step {task.fields[number]}/{task.fields[num_steps]}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=console,
            get_time=clock,
        )
        self._task = self._progress.add_task("", total=1.0, number=0, num_steps=effort.num_steps)

    def step(self, number: int) -> None:
        if not self._begun:  # Earlier steps of a training that goes on were not done just now.
            before = self._effort.share(number - 1)
            self._progress.reset(self._task, completed=before)  # type: ignore[arg-type] # it need not be whole
            self._begun = True
        self._progress.update(self._task, completed=self._effort.share(number), number=number)

    def epoch(self, epoch: Epoch) -> None:
        self._progress.console.print(_describe(epoch, self._num_epochs), markup=False, highlight=False)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


def _describe(epoch: Epoch, num_epochs: int) -> str:
    width = len(str(num_epochs))
    return (
        f"[{epoch.epoch:>{width}}/{num_epochs}] train loss {epoch.train_loss:.3f}  "
        f"val accuracy {epoch.val_accuracy:.3f}  val loss {epoch.val_loss:.3f}"
    )
