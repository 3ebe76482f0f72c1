"""Who would be beaten even with luck is stopped: early stopping for any number of objectives.

What a candidate costs is known before its training; only its accuracy is not. At a rung the accuracy at the end is
predicted, with an error, from the training loss, which costs nothing to look at; how, is learnt from the candidates
before. If a finished candidate is at least as good in every objective as this one would be with its optimistic
accuracy, and better in one, training on is a waste.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from nas.evaluation.measurement import Measurement
from nas.optimization.objectives import Objective
from nas.optimization.pareto import pareto_mask
from nas.optimization.stopping.prediction import Path, Prediction, path_of

NUM_STDERRS = 1.25
"""Loses less than one percent of the front's hypervolume in replayed searches: results/early_stopping/README.md."""
NUM_STDERRS_OF_ONE = 2.0
"""For a single objective: where one candidate is all that counts, losing it is dear, and few are near it."""

MIN_FINISHED = 10
SPARE_EVERY = 4
"""At each rung one candidate in so many goes on whatever its prospects."""


@dataclass(slots=True)
class _Seen:
    """What was made of measurements before: all of it again for each candidate would take its time at 10,000.

    Attributes:
        paths: By the identity of a measurement, which is kept so that no other takes it.
        num_whole: How many were trained to the end by way of all rungs.
        front: Costs of those trained to the end that none beats.
    """

    paths: dict[int, tuple[Measurement, Path]] = field(default_factory=dict)
    num_whole: int = 0
    front: list[tuple[float, ...]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DominatedStopping:
    """Attributes:
    rungs: Shares of a training.
    objective: What the search optimises; one of its metrics follows from accuracy.
    num_stderrs: How many standard errors of the prediction an optimistic accuracy is above it; higher stops less.
    min_finished: Candidates that must have been trained to the end before any is stopped.
    spare_every: At each rung one candidate in so many goes on whatever its prospects. Where all that look alike are
        stopped, nothing would ever tell that a prediction is wrong.
    """

    rungs: tuple[float, ...]
    objective: Objective
    num_stderrs: float = NUM_STDERRS
    min_finished: int = MIN_FINISHED
    spare_every: int = SPARE_EVERY
    _seen: _Seen = field(default_factory=_Seen, init=False, repr=False, compare=False)

    def rule(self, measurements: Sequence[Measurement]) -> "DominatedRule":
        self._see(measurements)
        prediction = None
        if self._seen.num_whole >= self.min_finished:
            prediction = Prediction.fit(self.rungs, [self._seen.paths[id(each)][1] for each in measurements])
        spared = len(measurements) % self.spare_every
        front = tuple(sorted(set(self._seen.front)))
        return DominatedRule(self.rungs, prediction, front, self.objective, self.num_stderrs, spared)

    def _see(self, measurements: Sequence[Measurement]) -> None:
        seen = self._seen
        new = [measurement for measurement in measurements if id(measurement) not in seen.paths]
        if len(seen.paths) + len(new) != len(measurements):  # Others than before.
            seen.paths, seen.num_whole, seen.front, new = {}, 0, [], list(measurements)
        seen.paths |= {id(measurement): (measurement, path_of(self.rungs, measurement)) for measurement in new}
        finished = [measurement for measurement in new if not measurement.stopped]
        seen.num_whole += sum({rung.share for rung in each.rungs} >= set(self.rungs) for each in finished)
        seen.front = _joined(seen.front, [_costs(self.objective, measurement) for measurement in finished])


def _joined(front: list[tuple[float, ...]], others: list[tuple[float, ...]]) -> list[tuple[float, ...]]:
    """Return those of a front and of others that none beats; fast where only one is new."""
    if len(others) != 1:
        costs = front + others
        best = pareto_mask(np.array(costs), ["min"] * len(costs[0])).tolist() if costs else []
        return list(itertools.compress(costs, best))
    (new,), known = others, np.array(front).reshape(len(front), len(others[0]))
    if np.logical_and((known <= new).all(axis=1), (known < new).any(axis=1)).any():
        return front
    kept = np.logical_or((known < new).any(axis=1), (known == new).all(axis=1))
    return [*itertools.compress(front, kept.tolist()), new]


@dataclass(frozen=True, slots=True)
class DominatedRule:
    """Attributes:
    rungs: Shares of a training.
    prediction: Of accuracy at the end; None while too few candidates have finished.
    front: The finished candidates that none beats, in the objectives such that lower is better.
    objective: What the search optimises.
    num_stderrs: Of an optimistic accuracy.
    spared: Index of a rung at which this candidate is not stopped; there may be no such rung.
    """

    rungs: tuple[float, ...]
    prediction: Prediction | None
    front: tuple[tuple[float, ...], ...]
    objective: Objective
    num_stderrs: float
    spared: int
    validates: ClassVar[bool] = False

    def predict(self, measurement: Measurement) -> float | None:
        found = self._predict(measurement)
        return None if found is None else found[0]

    def stops(self, measurement: Measurement) -> bool:
        found = self._predict(measurement)
        if found is None or self.rungs.index(measurement.rungs[-1].share) == self.spared:
            return False
        accuracy, stderr = found
        hoped = _costs(self.objective, replace(measurement, accuracy=accuracy + self.num_stderrs * stderr))
        return any(_dominates(best, hoped) for best in self.front)

    def _predict(self, measurement: Measurement) -> tuple[float, float] | None:
        rung = measurement.rungs[-1]
        return None if self.prediction is None else self.prediction.predict(self.rungs.index(rung.share), rung)


def _costs(objective: Objective, measurement: Measurement) -> tuple[float, ...]:
    """Return the objectives such that lower is better."""
    values = zip(objective.values(measurement), objective.directions, strict=True)
    return tuple(-value if direction == "maximize" else value for value, direction in values)


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether `one` is at most `other` everywhere and below it somewhere."""
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
