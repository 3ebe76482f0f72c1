"""How long to wait for a worker before it is taken to hang."""

import statistics
import time
from collections import deque
from collections.abc import Callable

MIN_LIMIT_S = 600.0
"""The least limit that is derived: nobody should lose a candidate to a slow disk."""
MAX_RATIO = 20.0
"""A derived limit, times the median of what ended."""
FIRST_LIMIT_S = 24 * 3600.0
"""The limit while nothing has ended."""
MAX_TICK_S = 1.0
"""How far the clock moves between two looks at it, at most."""
_REMEMBERED = 100


class Patience:
    """A limit on the seconds of one kind of work, given or derived from the work that ended, and a clock for it.

    The clock counts only while it is looked at, at least once in `MAX_TICK_S`. So a driver that was stopped or on a
    suspended machine does not find all its workers, which were stopped with it, to hang; nor do clocks that jump.

    Args:
        limit_s: The limit; None derives it: 20 times the median of what ended, at least ten minutes.
        clock: Seconds from any beginning, never going back.
    """

    def __init__(self, limit_s: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit_s, self._clock = limit_s, clock
        self._looked, self._now = clock(), 0.0
        self._ended: deque[float] = deque(maxlen=_REMEMBERED)

    @property
    def now(self) -> float:
        """Seconds that this clock has counted."""
        before, self._looked = self._looked, self._clock()
        self._now += min(self._looked - before, MAX_TICK_S)
        return self._now

    def learn(self, seconds: float) -> None:
        """Take in what work took that ended."""
        self._ended.append(seconds)

    @property
    def limit_s(self) -> float:
        if self._limit_s is not None:
            return self._limit_s
        return max(MIN_LIMIT_S, MAX_RATIO * statistics.median(self._ended)) if self._ended else FIRST_LIMIT_S
