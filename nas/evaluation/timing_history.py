"""What this process has timed so far, to tell a time that the networks before it do not explain."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nas.evaluation.step_features import StepShape, step_features
from nas.evaluation.step_predictor import StepTimePredictor
from nas.spec import ArchSpec

MIN_HISTORY = 20
"""Networks that must have been timed before one is doubted, or refused untimed, because of them."""


@dataclass(slots=True)
class TimingHistory:
    """Timed networks and, once there are `MIN_HISTORY`, the predictor fitted to them.

    Attributes:
        shape: Of the timed steps.
    """

    shape: StepShape
    _features: list[NDArray[np.float64]] = field(default_factory=list)
    _times: list[float] = field(default_factory=list)
    _predictor: StepTimePredictor | None = None

    def add(self, spec: ArchSpec, time: float) -> None:
        """Take in a network's time, in any unit that is always the same; the last fit is out of date then."""
        self._features.append(step_features(spec, self.shape))
        self._times.append(time)
        self._predictor = None

    @property
    def predictor(self) -> StepTimePredictor | None:
        """Fitted to all that was added; None while that is too little."""
        if self._predictor is None and len(self._times) >= MIN_HISTORY:
            self._predictor = StepTimePredictor.fit_features(
                np.array(self._features), np.array(self._times), self.shape
            )
        return self._predictor

    def is_suspicious(self, spec: ArchSpec, time: float, num_errors: float = 4.0) -> bool:
        """Whether a network's time differs from its prediction by more than so many standard errors.

        Takes about 10 ms after 200 networks; always False while there are too few to say.
        """
        if self.predictor is None:
            return False
        predicted = self.predictor.predict(spec)
        return abs(math.log(predicted.step_time / time)) > num_errors * predicted.stderr
