"""Asynchronous successive halving on the reward, after Li et al. 2020, "A System for Massively Parallel Hyperparameter
Tuning", arXiv 1810.05934, as a rule that stops: who is not among the best so far at a rung does not go on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from nas.evaluation.measurement import Measurement
from nas.optimization.objectives import measurement_reward

ETA = 3
"""One candidate of so many goes on at each rung."""


def rung_reward(measurement: Measurement, index: int) -> float:
    """Return the reward by the accuracy at a validated rung; higher is better."""
    accuracy = measurement.rungs[index].accuracy
    assert accuracy is not None, "the rule asks for validations"
    return measurement_reward(replace(measurement, accuracy=accuracy))


@dataclass(frozen=True, slots=True)
class HalvingStopping:
    """Attributes:
    rungs: Shares of a training.
    eta: One of so many goes on, at least 2.
    """

    rungs: tuple[float, ...]
    eta: int = ETA

    def rule(self, measurements: Sequence[Measurement]) -> "HalvingRule":
        found: dict[float, list[float]] = {share: [] for share in self.rungs}
        for measurement in measurements:
            for index, rung in enumerate(measurement.rungs):
                if rung.share in found and rung.accuracy is not None:
                    found[rung.share].append(rung_reward(measurement, index))
        return HalvingRule(self.rungs, tuple(_cutoff(found[share], self.eta) for share in self.rungs))


@dataclass(frozen=True, slots=True)
class HalvingRule:
    """Attributes:
    rungs: Shares of a training.
    cutoffs: For each rung, the least reward that goes on; None while too few were there to be told apart.
    """

    rungs: tuple[float, ...]
    cutoffs: tuple[float | None, ...]
    validates: ClassVar[bool] = True

    def predict(self, measurement: Measurement) -> float | None:  # noqa: ARG002
        return None

    def stops(self, measurement: Measurement) -> bool:
        cutoff = self.cutoffs[self.rungs.index(measurement.rungs[-1].share)]
        return cutoff is not None and rung_reward(measurement, -1) < cutoff


def _cutoff(rewards: list[float], eta: int) -> float | None:
    """Return the reward of the last that is among the best one of `eta`, with one more to come."""
    place = (len(rewards) + 1) // eta
    return sorted(rewards, reverse=True)[place - 1] if place else None
