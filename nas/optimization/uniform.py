# ruff: noqa: ARG002 - the arguments are those of Optuna's interface
"""Samplers that know the search space, and the simplest of them: uniform random search."""

from abc import abstractmethod
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial

from nas.space import SearchSpace, Value


class SpaceSampler(optuna.samplers.BaseSampler):
    """An Optuna sampler that proposes whole candidates of a search space.

    It keeps nothing between proposals: what it proposes follows from the study, the seed and the space. So a resumed
    search goes on as if it had never stopped.

    Args:
        space: The search space.
        seed: Seed of this one proposal.
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space = space
        self._rng = np.random.default_rng(seed)
        self._distributions: dict[str, BaseDistribution] = {
            name: CategoricalDistribution(values) for name, values in space.choices.items()
        }

    @abstractmethod
    def propose(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Value]:
        """Return a value for every choice of the space."""

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._distributions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self.propose(study, trial)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self.uniform_value(param_name)

    def uniform_value(self, name: str) -> Value:
        """Draw one choice, whatever the others are."""
        values = self._space.choices[name]
        return values[int(self._rng.integers(len(values)))]


class UniformSampler(SpaceSampler):
    """Random search, as the EfficientNetV2 paper names it (section 3.3): uniform among candidates inside the bounds.

    Unlike Optuna's `RandomSampler` it proposes nothing that is outside.
    """

    def propose(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Value]:
        return self._space.sample(self._rng)
