"""The sampler that goes by a learned predictor: it proposes what is expected to add most to the front."""

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from nas.errors import invalid
from nas.optimization.encoding import Array, Codes, encoding_of
from nas.optimization.forecast import Forecast, Past
from nas.optimization.objectives import Objective
from nas.optimization.uniform import SpaceSampler
from nas.space import SearchSpace, Value

MAX_METRICS = 3

_NUM_SPREAD = 16
"""Random candidates of which one is proposed at the start."""
_NUM_RANDOM = 60
_NUM_CHILDREN = 120
_NUM_GRANDCHILDREN = 60
_NUM_ROUNDS = 2
_NUM_PARENTS = 10
"""Afterwards so many are weighed: random ones, children of the front, and twice children of the best so far."""
_CROSSED = 0.5
"""Share of children that are between two parents; the others are near one."""


class PredictorSampler(SpaceSampler):
    """Bayesian optimisation: `AccuracyPredictor` says what to expect, hypervolume improvement what that is worth.

    It proposes no network that the study has already. What is expected and why those under way are not proposed
    again is in `Forecast`. A proposal takes 10 to 50 ms of processor time up to 200 measured candidates and about 0.1
    s at 1,000.

    Args:
        space: The search space.
        seed: Seed of this one proposal.
        objective: What the study optimises: one to `MAX_METRICS` metrics, the first to be learned.
        num_startup: Measured candidates before the predictor takes over, at least 2; until then proposals are random,
            and unlike those before them.

    Raises:
        InvalidInputError: If there are more metrics.
    """

    def __init__(self, space: SearchSpace, seed: int, objective: Objective, *, num_startup: int) -> None:
        if len(objective.metrics) > MAX_METRICS:
            todo = "Use another sampler."
            raise invalid("metrics of the objective", f"at most {MAX_METRICS}", len(objective.metrics), todo)
        super().__init__(space, seed)
        self.objective = objective
        self.num_startup = max(2, num_startup)
        self._encoding = encoding_of(space)

    def propose(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Value]:  # noqa: ARG002
        """Return the best candidate that was found among random ones and descendants of the front."""
        past = Past.read(study, self._encoding, self.objective)
        if len(past.values) < self.num_startup:
            return self._spread(past.asked)
        forecast = Forecast(self._encoding, self.objective, past)
        pool = _Pool(past.asked)
        self._weigh(pool, forecast, self._random(_NUM_RANDOM))
        self._weigh(pool, forecast, self._children(forecast.front, _NUM_CHILDREN))
        for _ in range(_NUM_ROUNDS):
            best = pool.codes[pool.ranking[:_NUM_PARENTS]]
            self._weigh(pool, forecast, self._children(best if len(best) else forecast.front, _NUM_GRANDCHILDREN))
        for index in pool.ranking:
            params = self._encoding.params(pool.codes[index])
            spec = self._space.decode(params)
            if (spec.arch_id, spec.train_image_size) not in past.networks:
                return params
        return self._space.sample(self._rng)

    def _spread(self, asked: Codes) -> dict[str, Value]:
        """Return, of a few random candidates, the one that shares the fewest choices with any that was asked for."""
        drawn = [self._space.sample(self._rng) for _ in range(_NUM_SPREAD if len(asked) else 1)]
        codes = self._encoding.codes(drawn)
        shared = (codes[:, None] == asked).sum(axis=-1).max(axis=1, initial=0)
        return drawn[int(np.argmin(shared))]

    def _random(self, number: int) -> Codes:
        num_values = self._encoding.num_values
        return self._rng.integers(num_values, size=(number, len(num_values)))

    def _children(self, parents: Codes, number: int) -> Codes:
        """Return candidates between two parents or near one, with one choice or a few drawn anew."""
        first, second = parents[self._rng.integers(len(parents), size=(2, number))]
        crossed = self._rng.random((number, 1)) < _CROSSED
        children = np.where(crossed & (self._rng.random(first.shape) < 0.5), second, first)
        num_changes = self._rng.geometric(0.5, size=(number, 1))
        changed = self._rng.random(first.shape).argsort(axis=1) < num_changes
        return np.where(changed, self._random(number), children)

    def _weigh(self, pool: "_Pool", forecast: Forecast, codes: Codes) -> None:
        """Add to the pool what is new and inside the bounds."""
        fresh = pool.fresh(codes)
        fresh = fresh[self._encoding.inside(fresh)]
        if len(fresh):
            pool.add(fresh, forecast.improvement(fresh))


class _Pool:
    """Candidates to choose from.

    Attributes:
        codes: Of the candidates.
        scores: Of each; higher is better.
    """

    def __init__(self, known: Codes) -> None:
        self._keys = {code.tobytes() for code in known}
        self.codes: Codes = known[:0]
        self.scores: Array = np.zeros(0)

    def fresh(self, codes: Codes) -> Codes:
        """Return those that were never here and are not known, each once."""
        found: dict[bytes, NDArray[np.int64]] = {code.tobytes(): code for code in codes}
        new = [code for key, code in found.items() if key not in self._keys]
        self._keys |= found.keys()
        return np.array(new, dtype=np.int64).reshape(len(new), codes.shape[1])

    def add(self, codes: Codes, scores: Array) -> None:
        self.codes = np.concatenate([self.codes, codes])
        self.scores = np.concatenate([self.scores, scores])

    @property
    def ranking(self) -> NDArray[np.int64]:
        """Indices of the candidates, best first."""
        return np.argsort(-self.scores, kind="stable")
