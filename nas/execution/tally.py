"""What a display says about a search: counts, pace, the best candidate, the size of the front."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from nas.evaluation.measurement import Measurement
from nas.execution.events import (
    Candidate,
    Elsewhere,
    Event,
    Failed,
    Measured,
    Opened,
    Outside,
    Repeated,
    Started,
    Stopped,
)
from nas.optimization.objectives import PARETO, Objective


@dataclass(slots=True)
class Front:
    """The non-dominated measurements in what an objective's front is made of; ties are kept."""

    objective: Objective = PARETO
    points: list[tuple[float, ...]] = field(default_factory=list)

    def add(self, measurement: Measurement) -> None:
        """Take in one measurement, in time proportional to the front."""
        values = ((getattr(measurement, column), way) for column, way in self.objective.front.items())
        point = tuple(-value if way == "max" else value for value, way in values)
        if not any(_dominates(other, point) for other in self.points):
            self.points = [other for other in self.points if not _dominates(point, other)]
            self.points.append(point)

    def __len__(self) -> int:
        return len(self.points)


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether `one` is at most `other` everywhere and below it somewhere; all are minimised."""
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


@dataclass(slots=True)
class Tally:
    """Counts events.

    Attributes:
        num_measured: Candidates measured, earlier sittings included; likewise `num_stopped` and `num_failed`.
        num_running: Candidates under way.
        num_free: Repeats and trials outside the bounds in this sitting.
        best: The measured candidate that is highest in what the objective says.
    """

    objective: Objective = PARETO
    clock: Callable[[], float] = time.monotonic
    budget: int = 0
    num_measured: int = 0
    num_stopped: int = 0
    num_failed: int = 0
    num_running: int = 0
    num_free: int = 0
    best: Measured | None = None
    front: Front = field(init=False)
    _began: float = field(init=False)
    _done_before: int = 0

    def __post_init__(self) -> None:
        self.front, self._began = Front(self.objective), self.clock()

    def count(self, event: Event) -> None:
        match event:
            case Opened():
                self.budget = event.budget
                for past in event.past:
                    self._count_candidate(past)
                self._began, self._done_before = self.clock(), self.num_done
            case Started():
                self.num_running += 1
            case Measured() | Stopped() | Failed():
                self.num_running -= 1
                self._count_candidate(event)
            case Elsewhere():
                self._count_candidate(event.candidate)
            case Repeated() | Outside():
                self.num_free += 1

    def _count_candidate(self, event: Candidate) -> None:
        if isinstance(event, Failed):
            self.num_failed += 1
            return
        if isinstance(event, Stopped):
            self.num_stopped += 1
            return
        self.num_measured += 1
        self.front.add(event.measurement)
        if self.best is None or self._rank(event) > self._rank(self.best):
            self.best = event

    def _rank(self, event: Measured) -> float:
        return event.reward if self.objective.best_by == "reward" else event.measurement.accuracy

    @property
    def num_done(self) -> int:
        return self.num_measured + self.num_stopped + self.num_failed

    @property
    def elapsed_s(self) -> float:
        """Seconds since this sitting began."""
        return self.clock() - self._began

    @property
    def per_minute(self) -> float | None:
        """Candidates a minute in this sitting; None before the first."""
        done = self.num_done - self._done_before
        return 60 * done / self.elapsed_s if done and self.elapsed_s > 0 else None

    @property
    def eta_s(self) -> float | None:
        """Seconds to go at this sitting's pace; None before its first candidate."""
        return None if self.per_minute is None else 60 * max(0, self.budget - self.num_done) / self.per_minute


def duration(seconds: float | None) -> str:
    """Return seconds as a person would say them: "12.1 s", "18 min", "2.3 h"; "?" for None."""
    if seconds is None:
        return "?"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def describe_measurement(event: Measured) -> str:
    """Return the facts of one measured candidate in a line."""
    m = event.measurement
    facts = [f"accuracy {m.accuracy:.3f} ±{m.accuracy_stderr:.3f}"]
    if m.step_time_s is not None and m.relative_step_time is not None:
        facts.append(f"step {m.step_time_s * 1e3:.1f} ms ({m.relative_step_time:.2f}x)")
    facts.append(f"{m.num_params / 1e6:.2f} M params")
    facts.append(f"{m.num_macs / 1e6:.1f} M MACs" if math.isnan(event.reward) else f"reward {event.reward:.4f}")
    return "  ".join(facts)


def describe_stop(event: Stopped) -> str:
    """Return where a candidate's training was stopped, and how it did until then, in a line."""
    m = event.measurement
    expected = "" if m.predicted_accuracy is None else f", {m.predicted_accuracy:.3f} expected"
    return f"stopped at {m.rungs[-1].share:.0%} of its training: accuracy {m.accuracy:.3f}{expected}"
