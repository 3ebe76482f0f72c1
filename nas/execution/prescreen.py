"""Candidates that are too slow, going by the measured ones, before they are evaluated."""

import math
from dataclasses import dataclass

from nas.evaluation.timing_history import TimingHistory
from nas.spec import ArchSpec


@dataclass(slots=True)
class Prescreen:
    """Attributes:
    history: Of the candidates measured so far.
    max_step_time: Limit on a training step, times the reference network's.
    """

    history: TimingHistory
    max_step_time: float

    def add(self, spec: ArchSpec, relative_step_time: float) -> None:
        """Learn from a measured candidate."""
        self.history.add(spec, relative_step_time)

    def excess(self, spec: ArchSpec) -> float:
        """Return how far beyond the limit a candidate is expected, as a natural logarithm; 0 or less is evaluated.

        It is evaluated also where the prediction's standard error leaves room for doubt, and while too few candidates
        were measured to predict from.
        """
        predictor = self.history.predictor
        if predictor is None:
            return 0.0
        predicted = predictor.predict(spec)
        over = math.log(predicted.step_time / self.max_step_time)
        return over if over > predicted.stderr else 0.0
