"""What a study lets expect of candidates that were not measured, and how much they would add to its front."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from nas.optimization.accuracy_predictor import AccuracyPredictor
from nas.optimization.encoding import Array, Codes, Encoding
from nas.optimization.expected_improvement import expected_improvement
from nas.optimization.objectives import Objective
from nas.optimization.pareto import pareto_mask, signs
from nas.optimization.trials import ARCH, ARCH_ID, FAIL_REASON, expected_values

_COUNTED = {"num_params": 0, "num_macs": 1}
"""Metrics that are computed, not learned, and their columns among an encoding's costs."""
_LEAST_CHANCE = 0.001
_LEAST_DOUBT = 0.1
"""Failures that come by chance must not close a region for good."""
_MARGIN = 0.1
"""The reference point of the hypervolume is so much beyond the worst that was seen, as a fraction of the range."""


@dataclass(frozen=True, slots=True)
class Past:
    """What a study says of its trials.

    Attributes:
        measured: Those with values, repeats left out, in the order in which they were asked for. Where training was
            stopped early, what was expected of it counts as measured.
        values: Of these, shape (measured, metrics).
        under_way: Those that are being evaluated or wait for it.
        tried: Those that were measured, and those that failed or were refused for what they cost, likewise in order.
        usable: Which of these were measured.
        asked: All trials with parameters of the space, whatever became of them.
        networks: Of these trials: `arch_id`, and the training image size, which it leaves out.
    """

    measured: Codes
    values: Array
    under_way: Codes
    tried: Codes
    usable: NDArray[np.bool_]
    asked: Codes
    networks: frozenset[tuple[str, int]]

    @classmethod
    def read(cls, study: optuna.Study, encoding: Encoding, objective: Objective) -> "Past":
        """Read all trials that have parameters of the space, which the one that is asked for has not yet."""
        names = encoding.space.choices.keys()
        trials = [t for t in study.get_trials(deepcopy=False) if t.params.keys() == names]
        asked = encoding.codes(trial.params for trial in trials)
        values = [expected_values(trial, objective) for trial in trials]
        measured = np.array([each is not None for each in values], dtype=np.bool_)
        tried = measured | _where(trials, _is_unusable)
        return cls(
            measured=asked[measured],
            values=np.array([each for each in values if each is not None], dtype=np.float64).reshape(
                -1, len(objective.metrics)
            ),
            under_way=asked[_where(trials, lambda t: not t.state.is_finished())],
            tried=asked[tried],
            usable=measured[tried],
            asked=asked,
            networks=frozenset(
                (t.user_attrs[ARCH_ID], t.user_attrs[ARCH]["train_image_size"])
                for t in trials
                if ARCH_ID in t.user_attrs
            ),
        )


def _where(trials: Sequence[FrozenTrial], condition: Callable[[FrozenTrial], bool]) -> NDArray[np.bool_]:
    return np.fromiter(map(condition, trials), dtype=np.bool_, count=len(trials))


def _is_unusable(trial: FrozenTrial) -> bool:
    return FAIL_REASON in trial.user_attrs or any(excess > 0 for excess in trial.constraints.values())


class Forecast:
    """Predictors of an objective's metrics, fitted to the past.

    The first metric is learned, and how unsure that is counts. Further ones are costs: parameters and multiply-adds
    are computed, any other is learned and taken to be what is expected of it. Candidates under way count as measured
    at what is expected of them (the "kriging believer" of Ginsbourger et al. 2010), so that the next one differs.

    Args:
        encoding: Of the space.
        objective: One to three metrics.
        past: At least two measured candidates.

    Attributes:
        front: The measured candidates, and those under way, that no other is expected to beat; what luck did for a
            measured one is taken out as far as the others tell.
    """

    def __init__(self, encoding: Encoding, objective: Objective, past: Past) -> None:
        gains, *costs = (past.values * -signs(objective.directions)).T
        self._gain = AccuracyPredictor(encoding, past.measured, gains)
        seen = past.measured
        if len(past.under_way):
            seen = np.concatenate([past.measured, past.under_way])
            expected = self._gain.predict_mean(past.under_way)
            self._gain = AccuracyPredictor(encoding, seen, np.append(gains, expected))
        self._costs = [
            _Cost(encoding, metric, past.measured, -cost)
            for metric, cost in zip(objective.metrics[1:], costs, strict=True)
        ]
        self._chance = None if past.usable.all() else _Chance(encoding, past.tried, past.usable)
        seen_gains, seen_costs = self._gain.predict_mean(seen), self._predict_costs(seen)
        on_front = pareto_mask(np.column_stack([-seen_gains, seen_costs]), ["min"] * len(objective.metrics))
        self.front: Codes = seen[on_front]
        self._front_gains, self._front_costs = seen_gains[on_front], seen_costs[on_front]
        self._reference = float(seen_gains.min() - _MARGIN * np.ptp(seen_gains))
        self._reference_costs = seen_costs.max(axis=0) + _MARGIN * np.ptp(seen_costs, axis=0)

    def improvement(self, codes: Codes) -> Array:
        """Return by how much each candidate is expected to raise the hypervolume of the front; higher is better."""
        means, stds = self._gain.predict(codes)
        found = expected_improvement(
            means,
            stds,
            self._predict_costs(codes),
            self._front_gains,
            self._front_costs,
            self._reference,
            self._reference_costs,
        )
        if self._chance is not None:
            found *= self._chance.predict(codes)
        return found

    def _predict_costs(self, codes: Codes) -> Array:
        return np.array([cost.predict(codes) for cost in self._costs]).reshape(-1, len(codes)).T


class _Cost:
    """Predicts one metric for which lower is better: its logarithm where all values are above 0.

    A cost halved is then worth the same wherever it was. In plain units all room for improvement would be among the
    dear networks, and a search hardly look for cheap ones.
    """

    def __init__(self, encoding: Encoding, metric: str, codes: Codes, values: Array) -> None:
        self._encoding = encoding
        self._column = _COUNTED.get(metric)
        if self._column is not None:
            # The closed form is for ten classes and three channels; other data shift all networks alike.
            self._shift = float(np.median(values - encoding.costs(codes)[:, self._column]))
        else:
            self._predictor = AccuracyPredictor(encoding, codes, np.log(values) if (values > 0).all() else values)

    def predict(self, codes: Codes) -> Array:
        if self._column is None:
            return self._predictor.predict_mean(codes)
        counted: Array = np.log(np.maximum(self._encoding.costs(codes)[:, self._column] + self._shift, 1.0))
        return counted


class _Chance:
    """Predicts the chance that a candidate is measured and not lost."""

    def __init__(self, encoding: Encoding, tried: Codes, usable: NDArray[np.bool_]) -> None:
        self._predictor = AccuracyPredictor(encoding, tried, usable.astype(np.float64))

    def predict(self, codes: Codes) -> Array:
        from scipy.special import ndtr  # Half a second that --help and --status should not take.

        means, stds = self._predictor.predict(codes)
        found: Array = ndtr((means - 0.5) / np.maximum(stds, _LEAST_DOUBT))
        return np.maximum(found, _LEAST_CHANCE)
