"""What Ctrl-C and SIGTERM mean while a search runs."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Counts SIGINT and SIGTERM instead of dying of them.

    The first asks the search to stop when the running jobs have ended; the second to stop at once. Only inside
    `cancellable()` does the second raise KeyboardInterrupt, so that it never tears a write to the study apart.
    Outside the main thread, where Python handles no signals, nothing is changed.
    """

    def __init__(self) -> None:
        self._count = 0
        self._cancellable = False
        self._before: dict[signal.Signals, Any] = {}

    @property
    def stop_requested(self) -> bool:
        return self._count > 0

    @contextmanager
    def cancellable(self) -> Iterator[None]:
        """Let a second signal, also one that has already come, raise KeyboardInterrupt here."""
        self._cancellable = True
        try:
            if self._count > 1:
                raise KeyboardInterrupt
            yield
        finally:
            self._cancellable = False

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._count += 1
        if self._count > 1 and self._cancellable:
            self._cancellable = False  # One exception is enough: a third signal must not disturb the cleaning up.
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
