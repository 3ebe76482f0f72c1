"""The sampler that goes by a learned predictor: it proposes what is expected to add most to the front."""

from dataclasses import dataclass

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

from nas.optimization.accuracy_predictor import AccuracyPredictor
from nas.optimization.encoding import Array, Codes, Encoding, encoding_of
from nas.optimization.expected_improvement import expected_improvement
from nas.optimization.objectives import Objective
from nas.optimization.pareto import pareto_mask, signs
from nas.optimization.trials import ARCH_ID, FAIL_REASON, REPEAT_OF
from nas.optimization.uniform import SpaceSampler
from nas.space import SearchSpace, Value

COUNTED = {"num_params": 0, "num_macs": 1}
"""Metrics that are computed, not learned, and their columns among an encoding's costs."""

_NUM_SPREAD = 16
_NUM_RANDOM = 60
_NUM_CHILDREN = 120
_NUM_ROUNDS = 2
_NUM_PARENTS = 10
import os
LOGC=int(os.environ.get('LOGC','0'))
ACQ=os.environ.get('ACQ','ehvi')
_NUM_CHILDREN=int(os.environ.get('NC','120'))
_NUM_RANDOM=int(os.environ.get('NR','60'))
_NUM_ROUNDS=int(os.environ.get('RO','2'))
_NUM_SPREAD=int(os.environ.get('SP','16'))


class PredictorSampler(SpaceSampler):
    """Bayesian optimisation with `AccuracyPredictor` and the expected improvement of the hypervolume.

    The first metric of the objective is learned, and how unsure it is counts. Further ones are costs: parameters and
    multiply-adds are computed, any other is learned and taken as what is expected of it.

    Running candidates count as measured at what is expected of them, so that several workers do not get the same
    proposal. No network that is in the study already is proposed.

    Args:
        space: The search space.
        seed: Seed of this one proposal.
        objective: What the study optimises: one to three metrics.
        num_startup: Measured candidates before the predictor takes over; until then proposals are random, and unlike
            those before them.
    """

    def __init__(self, space: SearchSpace, seed: int, objective: Objective, *, num_startup: int) -> None:
        super().__init__(space, seed)
        self.objective = objective
        self.num_startup = max(2, num_startup)
        self._encoding = encoding_of(space)

    def propose(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Value]:
        """Return the best that was found among random candidates and descendants of the front."""
        past = _Past.read(study, self._space, trial.number)
        if len(past.values) < self.num_startup:
            return self._spread(past)
        forecast = _Forecast(self._encoding, self.objective, past)
        pool = _Pool(past.codes)
        self._add(pool, forecast, self._random(_NUM_RANDOM))
        self._add(pool, forecast, self._children(forecast.front, _NUM_CHILDREN))
        for _ in range(_NUM_ROUNDS):
            parents = pool.codes[pool.ranking[:_NUM_PARENTS]] if len(pool.codes) else forecast.front
            self._add(pool, forecast, self._children(parents, _NUM_CHILDREN // 2))
        for index in pool.ranking:
            params = self._encoding.params(pool.codes[index])
            if self._space.decode(params).arch_id not in past.arch_ids:
                return params
        return self._space.sample(self._rng)

    def _spread(self, past: "_Past") -> dict[str, Value]:
        """Return, of a few random candidates, the one that shares the fewest choices with any before it."""
        drawn = [self._space.sample(self._rng) for _ in range(_NUM_SPREAD)]
        if len(past.codes) == 0:
            return drawn[0]
        shared = self._encoding.one_hot(self._encoding.codes(drawn)) @ self._encoding.one_hot(past.codes).T
        return drawn[int(np.argmin(shared.max(axis=1)))]

    def _random(self, number: int) -> Codes:
        return self._rng.integers(self._encoding.num_values, size=(number, len(self._encoding.num_values)))

    def _children(self, parents: Codes, number: int) -> Codes:
        """Return candidates between two parents, or near one, with one or a few choices drawn anew."""
        first, second = parents[self._rng.integers(len(parents), size=(2, number))]
        crossed = self._rng.random((number, 1)) < 0.5
        child = np.where(crossed & (self._rng.random(first.shape) < 0.5), second, first)
        num_changes = self._rng.geometric(0.5, size=(number, 1))
        changed = self._rng.random(first.shape).argsort(axis=1) < num_changes
        return np.where(changed, self._random(number), child)

    def _add(self, pool: "_Pool", forecast: "_Forecast", codes: Codes) -> None:
        fresh = pool.fresh(codes)
        fresh = fresh[self._encoding.inside(fresh)]
        if len(fresh):
            pool.add(fresh, forecast.improvement(fresh))


class _Pool:
    """Candidates to choose from, with their scores.

    Attributes:
        codes: Of the candidates.
        scores: Higher is better.
    """

    def __init__(self, known: Codes) -> None:
        self._keys = {code.tobytes() for code in known}
        self.codes: Codes = known[:0]
        self.scores: Array = np.zeros(0)

    def fresh(self, codes: Codes) -> Codes:
        """Return those that are neither here nor known, each once."""
        found = []
        for code in codes:
            key = code.tobytes()
            if key not in self._keys:
                self._keys.add(key)
                found.append(code)
        return np.array(found, dtype=np.int64).reshape(len(found), codes.shape[1])

    def add(self, codes: Codes, scores: Array) -> None:
        self.codes = np.concatenate([self.codes, codes])
        self.scores = np.concatenate([self.scores, scores])

    @property
    def ranking(self) -> NDArray[np.int64]:
        """Indices of the candidates, best first."""
        return np.argsort(-self.scores, kind="stable")


@dataclass(frozen=True, slots=True)
class _Past:
    """What a study says of its trials.

    Attributes:
        measured: Those with values.
        values: Of these, shape (measured, metrics).
        running: Those that are being evaluated.
        unusable: Those that failed, or were refused for what they cost.
        codes: Of all trials, whatever became of them.
        arch_ids: Of their networks.
    """

    measured: Codes
    values: Array
    running: Codes
    unusable: Codes
    codes: Codes
    arch_ids: frozenset[str]

    @classmethod
    def read(cls, study: optuna.Study, space: SearchSpace, asking: int) -> "_Past":
        """Read all trials but the one that is asked for."""
        known = [t for t in study.get_trials(deepcopy=False) if t.number != asking and t.params.keys() == space.choices.keys()]
        codes = encoding_of(space).codes(t.params for t in known)
        once = np.array([REPEAT_OF not in t.user_attrs for t in known], dtype=np.bool_)
        states = [t.state for t in known]
        done = once & np.array([state == TrialState.COMPLETE for state in states], dtype=np.bool_)
        values = [t.values for t, kept in zip(known, done, strict=True) if kept]
        running = np.array([state == TrialState.RUNNING for state in states], dtype=np.bool_)
        unusable = once & np.array([t.state == TrialState.PRUNED or FAIL_REASON in t.user_attrs for t in known], dtype=np.bool_)
        return cls(
            measured=codes[done],
            values=np.array(values, dtype=np.float64).reshape(len(values), len(study.directions)),
            running=codes[running],
            unusable=codes[unusable],
            codes=codes,
            arch_ids=frozenset(t.user_attrs[ARCH_ID] for t in known if ARCH_ID in t.user_attrs),
        )


class _Forecast:
    """What is expected of candidates, going by the past."""

    def __init__(self, encoding: Encoding, objective: Objective, past: _Past) -> None:
        self._encoding, self._objective = encoding, objective
        values = past.values * signs(objective.directions)
        seen = np.concatenate([past.measured, past.running])
        self._gain = AccuracyPredictor(encoding, past.measured, -values[:, 0])
        if len(past.running):
            expected, _ = self._gain.predict(past.running)
            self._gain = AccuracyPredictor(encoding, seen, np.append(-values[:, 0], expected))
        self._costs = [
            _Cost.fit(encoding, metric, past.measured, column) for metric, column in zip(objective.metrics[1:], values.T[1:], strict=True)
        ]
        self._usable = None
        if len(past.unusable):
            tried = np.concatenate([past.measured, past.unusable])
            usable = np.repeat([1.0, 0.0], [len(past.measured), len(past.unusable)])
            self._usable = AccuracyPredictor(encoding, tried, usable)
        gains, _ = self._gain.predict(seen)
        costs = self._predict_costs(seen)
        on_front = pareto_mask(np.column_stack([-gains, costs]), ["min"] * len(objective.metrics))
        self.front = seen[on_front]
        self._front_gains, self._front_costs = gains[on_front], costs[on_front]
        self._reference, self._reference_costs = gains.min(), costs.max(axis=0)

    def improvement(self, codes: Codes) -> Array:
        means, stds = self._gain.predict(codes)
        found = expected_improvement(
            means, stds, self._predict_costs(codes), self._front_gains, self._front_costs, self._reference, self._reference_costs
        )
        if self._usable is not None:
            found *= np.clip(self._usable.predict(codes)[0], 0.02, 1.0)
        return found

    def _predict_costs(self, codes: Codes) -> Array:
        if not self._costs: return np.zeros((len(codes),0))
        return np.column_stack([cost.predict(codes) for cost in self._costs])


@dataclass
class _Cost:
    encoding: Encoding
    metric: str
    offset: float
    predictor: AccuracyPredictor|None
    @classmethod
    def fit(cls, encoding, metric, codes, values):
        if metric in COUNTED:
            counted = encoding.costs(codes)[:, COUNTED[metric]]
            return cls(encoding, metric, float(np.median(values - counted)), None)
        return cls(encoding, metric, 0.0, AccuracyPredictor(encoding, codes, np.log(values)))
    def predict(self, codes):
        if self.predictor is None:
            c = self.encoding.costs(codes)[:, COUNTED[self.metric]] + self.offset
        else:
            c = np.exp(self.predictor.predict(codes)[0])
        return np.log(c) if LOGC else c
