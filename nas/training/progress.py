"""Displays of a running training: a bar with the time left on a terminal, one line an epoch anywhere else."""

from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from nas.training.course import Epoch


class TrainingDisplay(Protocol):
    """Tell it of every step and every epoch, inside its with statement."""

    def step(self, number: int) -> None: ...

    def epoch(self, epoch: Epoch) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def make_training_display(num_steps: int, num_epochs: int, console: Console | None = None) -> TrainingDisplay:
    """Return a live display if `console` (by default one on stderr) is a terminal, else plain lines."""
    console = console or Console(stderr=True)
    kind = LiveTrainingDisplay if console.is_terminal else PlainTrainingDisplay
    return kind(console, num_steps, num_epochs)


class PlainTrainingDisplay:
    """One line for each epoch."""

    def __init__(self, console: Console, num_steps: int, num_epochs: int) -> None:
        self._console, self._num_steps, self._num_epochs = console, num_steps, num_epochs

    def step(self, number: int) -> None:
        pass

    def epoch(self, epoch: Epoch) -> None:
        left_s = epoch.elapsed_s / epoch.epoch * (self._num_epochs - epoch.epoch)
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

    def __init__(self, console: Console, num_steps: int, num_epochs: int) -> None:
        self._num_epochs = num_epochs
        self._progress = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task("", total=num_steps)

    def step(self, number: int) -> None:
        self._progress.update(self._task, completed=number)

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
