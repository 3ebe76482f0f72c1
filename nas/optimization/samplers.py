"""Samplers by name: how the next candidate is proposed.

A sampler is made anew for every proposal, from the search's seed and the trial's number. All memory is in the study,
so a search that was killed and resumed proposes what it would have proposed, and repeats no proposal.
"""

import functools
import logging
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from nas.errors import did_you_mean, invalid
from nas.optimization.aging import RegularizedEvolution
from nas.optimization.objectives import Objective
from nas.optimization.predictor_sampler import PredictorSampler
from nas.optimization.trials import ARCH_ID
from nas.optimization.uniform import SpaceSampler, UniformSampler
from nas.space import SearchSpace, Value

SAMPLER_NAMES = ("predictor", "tpe", "random", "nsga2", "gp", "aging")
DEFAULT_SAMPLER = "predictor"

PREDICTOR_STARTUP = 20
"""Random candidates before the predictor takes over; a quarter of a budget below 80. See results/samplers/README.md."""
NSGA2_POPULATION = 20
GP_TRIALS = 200
"""Trials up to which the Gaussian process stays affordable: the cost of a proposal grows with their cube."""

_MAX_CHANGES = 100

_logger = logging.getLogger(__name__)


class GuidedSampler(SpaceSampler):
    """One of Optuna's samplers, with what it leaves to chance drawn inside the bounds of the space.

    Optuna's samplers begin with random trials, drawn from the whole space; here these are drawn inside the bounds.

    Args:
        space: The search space.
        seed: Seed of this one proposal.
        guide: The sampler that proposes once it has seen enough.
        fresh: Replace a proposal that would be wasted, being outside the bounds or equal to an earlier trial, by one
            a few changes away that would not. For guides that are costly to ask and do not learn from waste.
    """

    def __init__(self, space: SearchSpace, seed: int, guide: BaseSampler, *, fresh: bool = False) -> None:
        super().__init__(space, seed)
        self.guide = guide
        self.fresh = fresh

    def propose(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Value]:
        """Return the guide's proposal; a random candidate while the guide has none."""
        guided = self.guide.sample_relative(study, trial, self.guide.infer_relative_search_space(study, trial))
        if not guided:
            return self._space.sample(self._rng)
        params = {name: guided[name] if name in guided else self.uniform_value(name) for name in self._space.choices}
        return self._freshen(study, params) if self.fresh else params

    def _freshen(self, study: optuna.Study, params: dict[str, Value]) -> dict[str, Value]:
        """Change one random choice after the other until the candidate is inside the bounds and new."""
        known = {trial.user_attrs.get(ARCH_ID) for trial in study.get_trials(deepcopy=False)}
        names = list(self._space.choices)
        for _ in range(_MAX_CHANGES):
            spec = self._space.decode(params)
            if spec.arch_id not in known and self._space.excess(spec) <= 0:
                return params
            name = names[int(self._rng.integers(len(names)))]
            params = {**params, name: self.uniform_value(name)}
        return self._space.sample(self._rng)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self.guide.before_trial(study, trial)

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        self.guide.after_trial(study, trial, state, values)


class _Nsga2(NSGAIISampler):
    """NSGA-II that counts trials with given parameters too.

    Optuna notes a trial's generation when it samples parameters, which it never does where all are given: the
    reference networks of a warm start would have no offspring.
    """

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        super().before_trial(study, trial)
        self.get_trial_generation(study, trial)


def make_sampler(
    name: str, *, space: SearchSpace, seed: int, trial_number: int, budget: int, objective: Objective
) -> BaseSampler:
    """Return a sampler for one proposal; set it on the study before the trial is asked for.

    Args:
        name: One of `SAMPLER_NAMES`. "predictor": what a learned predictor expects to add most to the front. "tpe":
            multivariate tree-structured Parzen estimator. "random": uniform inside the bounds. "nsga2": genetic, for
            long searches. "gp": Optuna's Gaussian process. "aging": regularised evolution on the reward.
        space: The search space.
        seed: The search's seed, 0 or more.
        trial_number: Number that the trial will have.
        budget: Candidates that the whole search evaluates.
        objective: What the study optimises.

    Raises:
        InvalidInputError: If the name is unknown or the sampler's extra is not installed.
    """
    own_seed, guide_seed = (int(word) for word in np.random.SeedSequence((seed, trial_number)).generate_state(2))
    match name:
        case "predictor":
            return PredictorSampler(space, own_seed, objective, num_startup=min(PREDICTOR_STARTUP, budget // 4))
        case "random":
            return UniformSampler(space, own_seed)
        case "aging":
            population = num_random_trials(name, budget)
            tournament = max(2, population // 5)
            return RegularizedEvolution(space, own_seed, population_size=population, tournament_size=tournament)
        case "tpe":
            guide: BaseSampler = TPESampler(
                seed=guide_seed, multivariate=True, constant_liar=True, n_startup_trials=num_random_trials(name, budget)
            )
        case "nsga2":
            guide = _Nsga2(seed=guide_seed, population_size=num_random_trials(name, budget))
        case "gp":
            _check_gp(budget, objective)
            guide = GPSampler(seed=guide_seed, n_startup_trials=num_random_trials(name, budget))
            return GuidedSampler(space, own_seed, guide, fresh=True)
        case _:
            raise invalid("sampler", "known", name, did_you_mean(name, SAMPLER_NAMES))
    return GuidedSampler(space, own_seed, guide)


def num_random_trials(name: str, budget: int) -> int:
    """Return how many trials at a search's start a sampler draws at random; 0 for an unknown one.

    Where a model takes over: a quarter of the budget, 20 to 50, and at most half of it.
    """
    startup = max(1, min(50, max(20, budget // 4), budget // 2))
    return {
        "tpe": startup,
        "random": budget,
        "nsga2": NSGA2_POPULATION,
        "gp": min(10, startup),
        "aging": min(50, max(4, budget // 4)),
    }.get(name, 0)


def _check_gp(budget: int, objective: Objective) -> None:
    if budget > GP_TRIALS:
        _warn_of_gp_cost(budget, len(objective.metrics))


@functools.cache
def _warn_of_gp_cost(budget: int, num_objectives: int) -> None:
    """Warn once, although a sampler is made for every proposal."""
    _logger.warning(
        "Sampler gp fits %d Gaussian process(es) for every proposal, which takes from many seconds to minutes beyond "
        "%d trials; tpe stays fast at a budget of %d.",
        num_objectives,
        GP_TRIALS,
        budget,
    )
