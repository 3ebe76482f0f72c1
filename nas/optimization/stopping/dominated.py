"""Who would be beaten even with luck is stopped: early stopping for any number of objectives.

What a candidate costs is known before its training; only its accuracy is not. At a rung the accuracy at the end is
predicted, with an error, from the training loss, which costs nothing to look at; how, is learnt from the candidates
before. If a finished candidate is at least as good in every objective as this one would be with its optimistic
accuracy, and better in one, training on is a waste.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from nas.evaluation.measurement import Measurement
from nas.optimization.objectives import Objective
from nas.optimization.pareto import pareto_mask
from nas.optimization.stopping.prediction import Prediction

NUM_STDERRS = 1.25
"""Loses less than one percent of the front's hypervolume in replayed searches: results/early_stopping/README.md."""
NUM_STDERRS_OF_ONE = 2.0
"""For a single objective: where one candidate is all that counts, losing it is dear, and few are near it."""

MIN_FINISHED = 10
SPARE_EVERY = 4
"""At each rung one candidate in so many goes on whatever its prospects."""


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

    def rule(self, measurements: Sequence[Measurement]) -> "DominatedRule":
        finished = [measurement for measurement in measurements if not measurement.stopped]
        num_whole = sum({rung.share for rung in m.rungs} >= set(self.rungs) for m in finished)
        prediction = Prediction.fit(self.rungs, measurements) if num_whole >= self.min_finished else None
        costs = [_costs(self.objective, measurement) for measurement in finished]
        if costs:
            front = pareto_mask(np.array(costs), ["min"] * len(costs[0]))
            costs = [cost for cost, is_best in zip(costs, front, strict=True) if is_best]
        return DominatedRule(
            self.rungs, prediction, tuple(costs), self.objective, self.num_stderrs, len(measurements) % self.spare_every
        )


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
