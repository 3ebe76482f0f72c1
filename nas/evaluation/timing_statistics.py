"""What a few noisy timings say: median, interval, and whether more of them are needed."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nas.errors import invalid

_NUM_RESAMPLES = 1000
_CONFIDENCE = 0.95
_SETTLED = 0.95


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to go on timing one network.

    Attributes:
        target: Half the interval of relative step time / its median, at which timing stops; lower is more exact.
        min_blocks: Blocks of each network that are always timed.
        max_blocks: Blocks after which it stops in any case.
        max_s: Seconds of timed blocks, of both networks, after which it stops, once there are `min_blocks`.
        block_s: Seconds that a block takes at least, about; a block is one step at least.
    """

    target: float = 0.03
    min_blocks: int = 5
    max_blocks: int = 50
    max_s: float = 20.0
    block_s: float = 0.02

    def __post_init__(self) -> None:
        if not 2 <= self.min_blocks <= self.max_blocks:
            raise invalid("min_blocks", f"from 2 to max_blocks ({self.max_blocks})", self.min_blocks, "Correct it.")
        for name in ("target", "max_s", "block_s"):
            if not getattr(self, name) > 0:
                raise invalid(name, "above 0", getattr(self, name), "Correct it.")

    def met(self, ratios: Sequence[float]) -> bool:
        """Return whether the median of these ratios is known as exactly as was asked for."""
        interval = median_interval(ratios)
        return (interval.high - interval.low) / 2 <= self.target * interval.median

    def enough(self, ratios: Sequence[float], timed_s: float) -> bool:
        """Return whether to stop timing."""
        if len(ratios) < self.min_blocks:
            return False
        return len(ratios) >= self.max_blocks or timed_s >= self.max_s or self.met(ratios)


@dataclass(frozen=True, slots=True)
class Interval:
    """A median and the ends of its 95% bootstrap interval, low <= median <= high."""

    low: float
    median: float
    high: float


def median_interval(values: Sequence[float]) -> Interval:
    """Return the median of at least one value with its 95% percentile bootstrap interval.

    The resamples depend on the number of values alone: equal values give equal intervals, and an interval scales with
    its values. Up to five values it reaches from the smallest to the largest.
    """
    drawn = np.asarray(values, dtype=np.float64)[_resamples(len(values))]
    low, high = np.quantile(np.median(drawn, axis=1), [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
    median = statistics.median(values)
    return Interval(min(float(low), median), median, max(float(high), median))


@lru_cache(maxsize=128)
def _resamples(count: int) -> NDArray[np.int64]:
    return np.random.default_rng(0).integers(count, size=(_NUM_RESAMPLES, count))


def interquartile_range(values: Sequence[float]) -> float:
    """Return the distance between the quartiles of at least two values."""
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return high - low


def settled(times: Sequence[float]) -> bool:
    """Return whether times of blocks have stopped falling: the last is not clearly below the least before it."""
    return len(times) > 1 and times[-1] >= _SETTLED * min(times[:-1])
