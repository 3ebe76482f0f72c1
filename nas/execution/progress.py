"""Displays of a running search, built on its events: live on a terminal, one line a candidate anywhere else."""

import logging
import sys
from collections import deque
from contextlib import ExitStack
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from nas.execution.events import (
    Elsewhere,
    Event,
    Failed,
    Finished,
    Measured,
    Opened,
    Retrained,
    Retraining,
    Started,
    Stopped,
    Stopping,
)
from nas.execution.tally import Tally, describe_measurement, describe_stop, duration
from nas.optimization.objectives import PARETO, Objective

_NUM_RECENT = 5


class Display(Protocol):
    """Call it with every event, inside its with statement."""

    def __call__(self, event: Event) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def make_display(console: Console | None = None, objective: Objective = PARETO) -> Display:
    """Return a live display if `console` (by default one on stderr) is a terminal, else plain lines.

    Args:
        console: Where to write.
        objective: Says what the front is made of and which candidate is the best.
    """
    console = console or Console(stderr=True)
    return LiveDisplay(console, objective) if console.is_terminal else PlainDisplay(console, objective)


class PlainDisplay:
    """One line for each candidate that ends."""

    def __init__(self, console: Console, objective: Objective = PARETO) -> None:
        self._console = console
        self._tally = Tally(objective)

    def __call__(self, event: Event) -> None:
        self._tally.count(event)
        line = _line(event, self._tally)
        if line is not None:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class LiveDisplay:
    """A bar, the state of the search and the last few candidates, redrawn in place. Log lines scroll above it."""

    def __init__(self, console: Console, objective: Objective = PARETO) -> None:
        self._console = console
        self._tally = Tally(objective)
        self._recent: deque[str] = deque(maxlen=_NUM_RECENT)
        self._running: dict[tuple[int, int], str] = {}  # by number and repeat
        self._notice: str | None = None
        self._exit = ExitStack()

    def __call__(self, event: Event) -> None:
        self._tally.count(event)
        line = _line(event, self._tally)
        match event:
            case Started():
                self._running[event.number, 0] = event.spec.summary
            case Measured() | Stopped() | Failed():
                self._running.pop((event.number, 0), None)
                self._recent.append(line or "")
            case Retraining():
                self._running[event.number, event.repeat] = f"{event.spec.summary}, again with another seed"
            case Retrained():
                self._running.pop((event.number, event.repeat), None)
                self._recent.append(line or "")
            case Elsewhere():
                self._recent.append(line or "")
            case Finished():
                self._running.clear()
                self._notice = line
            case Opened() | Stopping():
                self._notice = line

    def __rich__(self) -> RenderableType:
        tally = self._tally
        bar = Table.grid(padding=(0, 2))
        pace = "?" if tally.per_minute is None else f"{tally.per_minute:.1f}"
        bar.add_row(
            f"{tally.num_done}/{tally.budget}",
            ProgressBar(total=max(1, tally.budget), completed=tally.num_done, width=40),
            f"{pace} trials/min",
            f"elapsed {duration(tally.elapsed_s)}",
            f"ETA {duration(tally.eta_s)}",
        )
        counts = f"stopped {tally.num_stopped}  failed {tally.num_failed}  repeats and outside {tally.num_free}"
        lines = [f"front {len(tally.front)}  {counts}"]
        if tally.best is not None:
            lines.append(f"best #{tally.best.number}  {describe_measurement(tally.best)}")
            lines.append(f"     {tally.best.spec.summary}")
        lines += list(self._recent)
        lines += [f"running #{number}  {summary}" for (number, _), summary in self._running.items()]
        if self._notice is not None:
            lines.append(self._notice)
        return Group(bar, *(Text(line, no_wrap=True, overflow="ellipsis") for line in lines))

    def __enter__(self) -> Self:
        before = sys.stderr
        self._exit.enter_context(Live(self, console=self._console, refresh_per_second=4))
        # While live, rich has put in place of sys.stderr a stream that prints above the display. Log handlers that
        # were made earlier hold the old one and would write into it.
        for name in (None, "nas", "optuna"):
            for handler in logging.getLogger(name).handlers:
                if isinstance(handler, logging.StreamHandler) and handler.stream is before:
                    handler.setStream(sys.stderr)
                    self._exit.callback(handler.setStream, before)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()


def _line(event: Event, tally: Tally) -> str | None:
    """Return what to say about an event that `tally` has counted, or None for events that nobody waits for."""
    width = len(str(tally.budget))
    head = f"[{tally.num_done:>{width}}/{tally.budget}]"
    tail = f"front {len(tally.front)}"
    match event:
        case Opened() if event.past:
            return f"{head} resuming"
        case Measured():
            spent = duration(event.measurement.wall_s)
            return f"{head} #{event.number} {describe_measurement(event)}  {tail}  {spent}  ETA {duration(tally.eta_s)}"
        case Stopped():
            spent = duration(event.measurement.wall_s)
            return f"{head} #{event.number} {describe_stop(event)}  {tail}  {spent}  ETA {duration(tally.eta_s)}"
        case Failed():
            return f"{head} #{event.number} failed, {event.reason}  {tail}  ETA {duration(tally.eta_s)}"
        case Elsewhere():
            return _line(event.candidate, tally)
        case Retrained():
            m = event.measurement
            ended = "failed" if m is None else f"accuracy {m.accuracy:.3f}  {duration(m.wall_s)}"
            return f"{head} #{event.number} again with another seed ({event.repeat} of {event.num_repeats}), {ended}"
        case Stopping():
            return f"Stopping when the {event.num_running} running end; once more to cancel them."
        case Finished():
            return _ending(event, tally)
    return None


def _ending(event: Finished, tally: Tally) -> str:
    why = ""
    if event.exhausted:
        why = "no network of the space is left that was not evaluated; "
    elif event.interrupted:
        why = "interrupted; "
    return (
        f"{event.num_candidates} of {tally.budget} candidates evaluated in {duration(tally.elapsed_s)}: "
        f"{why}{tally.num_stopped} stopped early, {tally.num_failed} failed, front {len(tally.front)}"
    )
