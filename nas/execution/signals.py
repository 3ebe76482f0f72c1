"""What Ctrl-C and SIGTERM mean while a search runs."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

DEADLINE_SIGNALS = frozenset({signal.SIGTERM, signal.SIGUSR1})
"""What schedulers send when they are about to take the machine: preemption, and SLURM's --signal=USR1@120."""
DRIVER_SIGNALS = DEADLINE_SIGNALS | {signal.SIGINT}
"""Signals whose meaning the driver decides, for its workers too: they may reach the whole process group."""
GRACE_S = 30.0
"""Between a warning and the end of a preempted machine; the least of the large clouds."""


class StopSignals:
    """Counts the driver's signals instead of dying of them.

    The first asks the search to stop when the running jobs have ended; the second to stop at once. SIGTERM and SIGUSR1
    announce an end: `grace_s` seconds after the first of them the search stops at once too. Only inside
    `cancellable()` is KeyboardInterrupt raised for that, so that it never tears a write to the study apart.
    Outside the main thread, where Python handles no signals, nothing is changed.

    Args:
        grace_s: Seconds that running jobs have after SIGTERM or SIGUSR1, above 0.
    """

    def __init__(self, grace_s: float = GRACE_S) -> None:
        self._grace_s = grace_s
        self._count = 0
        self._at_once = self._cancellable = False
        self._before: dict[signal.Signals, Any] = {}

    @property
    def stop_requested(self) -> bool:
        return self._count > 0

    @contextmanager
    def cancellable(self) -> Iterator[None]:
        """Let the end of all patience, also one that has already come, raise KeyboardInterrupt here."""
        self._cancellable = True
        try:
            if self._at_once:
                raise KeyboardInterrupt
            yield
        finally:
            self._cancellable = False

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._count += number != signal.SIGALRM
        if number in DEADLINE_SIGNALS and self._count == 1:
            signal.setitimer(signal.ITIMER_REAL, max(self._grace_s, 0.001))  # Goes by the monotonic clock.
        if self._count > 1 or number == signal.SIGALRM:
            self._at_once = True
        if self._at_once and self._cancellable:
            self._cancellable = False  # One exception is enough: a third signal must not disturb the cleaning up.
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            numbers = DRIVER_SIGNALS | {signal.SIGALRM}
            self._before = {number: signal.signal(number, self._handle) for number in sorted(numbers)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)
