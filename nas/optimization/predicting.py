"""The sampler that goes by a learned predictor: it proposes what is expected to add most to the front."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas.optimization.accuracy_predictor import AccuracyPredictor
from nas.optimization.encoding import encoding_of
from nas.optimization.expected_improvement import expected_improvement
from nas.optimization.objectives import Objective
from nas.optimization.pareto import pareto_mask
from nas.optimization.trials import ARCH_ID
from nas.optimization.uniform import SpaceSampler
from nas.space import Params, SearchSpace, Value

Array = NDArray[np.float64]

COUNTED = ("num_params", "num_macs")
"""Metrics that are computed, not learned."""
_NUM_SPREAD = 10
_NUM_RANDOM = 30
_NUM_CHILDREN = 120
_NUM_ROUNDS = 2
_NUM_GRANDCHILDREN = 40
_NUM_PARENTS = 10
_MAX_TRIES = 10


class PredictingSampler(SpaceSampler):
    def __init__(self, space: SearchSpace, seed: int, objective: Objective, *, num_startup: int) -> None:
        super().__init__(space, seed)
        self.objective = objective
        self.num_startup = num_startup
        self._encoding = encoding_of(space)

    def propose(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Value]:
        past = _Past.of(study, trial, self._space)
        if len(past.measured) < self.num_startup:
            return self._spread(past)
        return self._best(past)

    def _spread(self, past: "_Past") -> dict[str, Value]:
        """Return, of a few random candidates, the one least like those before it."""
        drawn = [self._space.sample(self._rng) for _ in range(_NUM_SPREAD)]
        before = [*past.measured, *past.running]
        if not before:
            return drawn[0]
        alike = self._encoding.choices(drawn) @ self._encoding.choices(before).T
        return drawn[int(np.argmin(alike.max(axis=1) + 1e-3 * alike.mean(axis=1)))]

    def _best(self, past: "_Past") -> dict[str, Value]:
        score = _Score(self._encoding, self.objective, past)
        parents = score.front
        pool: dict[tuple[Value, ...], dict[str, Value]] = {}
        self._add(pool, (self._space.sample(self._rng) for _ in range(_NUM_RANDOM)), past)
        self._add(pool, (self._child(parents) for _ in range(_NUM_CHILDREN)), past)
        ranked = self._rank(pool, score)
        for _ in range(_NUM_ROUNDS):
            self._add(pool, (self._child(ranked[:_NUM_PARENTS]) for _ in range(_NUM_GRANDCHILDREN)), past)
            ranked = self._rank(pool, score)
        for params in ranked:
            if self._space.decode(params).arch_id not in past.arch_ids:
                return params
        return self._space.sample(self._rng)

    def _rank(self, pool: dict[tuple[Value, ...], dict[str, Value]], score: "_Score") -> list[dict[str, Value]]:
        members = list(pool.values())
        return [members[index] for index in np.argsort(-score(members), kind="stable")]

    def _add(self, pool, drawn, past) -> None:
        for params in drawn:
            key = tuple(params[name] for name in self._space.choices)
            if key not in past.keys and key not in pool and self._encoding(params).inside:
                pool[key] = params

    def _child(self, parents: Sequence[Params]) -> dict[str, Value]:
        """Return a candidate between two parents, or near one, with one or a few choices changed at random."""
        names = list(self._space.choices)
        first, second = (parents[int(index)] for index in self._rng.integers(len(parents), size=2))
        take = self._rng.random(len(names)) < self._rng.choice((0.0, 0.5))
        child = {name: second[name] if taken else first[name] for name, taken in zip(names, take, strict=True)}
        num_changes = min(len(names), int(self._rng.geometric(0.5)))
        for index in self._rng.choice(len(names), size=num_changes, replace=False):
            child[names[index]] = self.uniform_value(names[index])
        return child


class _Past:
    @classmethod
    def of(cls, study, trial, space):
        self = cls()
        self.measured, self.running, values = [], [], []
        self.keys, self.arch_ids = set(), set()
        signs = np.array([1.0 if d == StudyDirection.MAXIMIZE else -1.0 for d in study.directions])
        for t in study.get_trials(deepcopy=False):
            if t.number == trial.number or t.params.keys() != space.choices.keys():
                continue
            key = tuple(t.params[name] for name in space.choices)
            self.keys.add(key)
            if ARCH_ID in t.user_attrs:
                self.arch_ids.add(t.user_attrs[ARCH_ID])
            if t.state == TrialState.COMPLETE and "repeat_of" not in t.user_attrs:
                self.measured.append(t.params)
                values.append(t.values)
            elif t.state == TrialState.RUNNING:
                self.running.append(t.params)
        self.values = np.array(values, dtype=float)
        return self

import os
LOGC=int(os.environ.get('LOGC','0'))
ACQ=os.environ.get('ACQ','ehvi')
class _Score:
    def __init__(self, encoding, objective, past):
        self.encoding, self.objective = encoding, objective
        sign = 1.0 if objective.directions[0] == "maximize" else -1.0
        self.sign = sign
        v = past.values
        self.predictor = AccuracyPredictor(encoding, past.measured, sign * v[:, 0])
        seen = [*past.measured]
        if past.running:
            lie, _ = self.predictor.predict(past.running)
            seen += past.running
            self.predictor = AccuracyPredictor(encoding, seen, np.concatenate([sign * v[:, 0], lie]))
        self.cost_models = []
        cols = []
        for k, (m, d) in enumerate(zip(objective.metrics[1:], objective.directions[1:], strict=True), 1):
            if m in COUNTED:
                counted = self.counted(m, past.measured)
                off = float(np.median(v[:, k] - counted))
                self.cost_models.append((m, off))
            else:
                self.cost_models.append((m, AccuracyPredictor(encoding, past.measured, np.log(v[:, k]))))
        self.means, _ = self.predictor.predict(seen)
        self.costs = self.cost(seen)
        mask = pareto_mask(np.column_stack([-self.means, self.costs]), ["min"] * (1 + self.costs.shape[1]))
        self.front = [p for p, on in zip(seen, mask) if on]
        self.fm, self.fc = self.means[mask], self.costs[mask]
        self.ref = self.means.min()
        self.refc = self.costs.max(axis=0) if self.costs.shape[1] else np.zeros(0)

    def counted(self, m, params):
        return np.array([getattr(self.encoding(p).cost, m) for p in params], dtype=float)

    def cost(self, params):
        cols = []
        for m, model in self.cost_models:
            if m in COUNTED:
                c = self.counted(m, params) + model
                cols.append(np.log(c) if LOGC else c)
            else:
                c = model.predict(params)[0]
                cols.append(c if LOGC else np.exp(c))
        return np.column_stack(cols) if cols else np.zeros((len(params), 0))

    def __call__(self, params):
        mean, std = self.predictor.predict(params)
        c = self.cost(params)
        if ACQ == 'ucb':
            mean, std = mean + 1.0 * std, std * 0
        return expected_improvement(mean, std, c, self.fm, self.fc, self.ref, self.refc)
