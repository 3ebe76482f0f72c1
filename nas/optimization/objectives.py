"""What a study optimises: several objectives at once, or the paper's scalar reward."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nas.errors import did_you_mean, invalid
from nas.evaluation.measurement import Measurement

STEP_TIME_EXPONENT = -0.07
PARAMS_EXPONENT = -0.05

Direction = Literal["minimize", "maximize"]


def reward(
    accuracy: float,
    relative_step_time: float,
    relative_params: float,
    *,
    step_time_exponent: float = STEP_TIME_EXPONENT,
    params_exponent: float = PARAMS_EXPONENT,
) -> float:
    """Return accuracy * S**w * P**v (EfficientNetV2 paper, section 3.3); higher is better.

    The references that S and P are relative to scale every reward alike and change no ranking. With the paper's
    exponents, doubling the step time must buy 5.0% relative accuracy to break even, doubling the parameters 3.5%.

    Args:
        accuracy: Top-1, 0 to 1.
        relative_step_time: Training step time / a reference's, above 0.
        relative_params: Learnable parameters / a reference's, above 0.
        step_time_exponent: w, negative.
        params_exponent: v, negative.
    """
    return float(accuracy * relative_step_time**step_time_exponent * relative_params**params_exponent)


@dataclass(frozen=True, slots=True)
class Objective:
    """Attributes:
    name: As `--objective` takes it.
    metrics: One or more of accuracy, relative_step_time, num_params, num_macs, reward.
    directions: "maximize" or "minimize" for each metric, as Optuna spells them.
    front: What a run's front is made of, column to "max" or "min"; accuracy is the first.
    best_by: Column that says which of the front is the best; higher is better.
    """

    name: str
    metrics: tuple[str, ...]
    directions: tuple[Direction, ...]
    front: Mapping[str, str]
    best_by: Literal["reward", "accuracy"] = "reward"

    def values(self, measurement: Measurement) -> list[float]:
        """Return a measurement's value of each metric."""
        return [_value(measurement, metric) for metric in self.metrics]


def _value(measurement: Measurement, metric: str) -> float:
    value = measurement_reward(measurement) if metric == "reward" else getattr(measurement, metric)
    return math.nan if value is None else float(value)


def measurement_reward(measurement: Measurement) -> float:
    """Return the paper's reward of a measured candidate; higher is better, NaN where no step time was measured."""
    if measurement.relative_step_time is None:
        return math.nan
    return reward(measurement.accuracy, measurement.relative_step_time, measurement.relative_params)


_FRONT = {"accuracy": "max", "relative_step_time": "min", "num_params": "min"}
PARETO = Objective(
    "pareto",
    ("accuracy", "relative_step_time", "num_params"),
    ("maximize", "minimize", "minimize"),
    front=_FRONT,
)
REWARD = Objective("reward", ("reward",), ("maximize",), front=_FRONT)
ACCURACY_MACS = Objective(
    "accuracy-macs",
    ("accuracy", "num_macs"),
    ("maximize", "minimize"),
    front={"accuracy": "max", "num_macs": "min"},
    best_by="accuracy",
)
"""Of what is known without timing anything; the best is the most accurate."""
OBJECTIVES = {objective.name: objective for objective in (PARETO, REWARD, ACCURACY_MACS)}


def get_objective(name: str) -> Objective:
    """Return an objective by name; raise InvalidInputError for an unknown one."""
    if name not in OBJECTIVES:
        raise invalid("objective", "known", name, did_you_mean(name, OBJECTIVES))
    return OBJECTIVES[name]
