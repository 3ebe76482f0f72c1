"""Regularised evolution (aging evolution), after Real et al. 2019, "Regularized Evolution for Image Classifier
Architecture Search", arXiv 1802.01548, Algorithm 1.
"""

import optuna
from optuna.trial import FrozenTrial

from nas.optimization.objectives import measurement_reward
from nas.optimization.trials import candidates, measurement_of
from nas.optimization.uniform import SpaceSampler
from nas.space import SearchSpace, Value


class RegularizedEvolution(SpaceSampler):
    """Mutate the best of a few members of a population in which the oldest die, however good they are.

    The population is the last `population_size` measured candidates, so that the study is all the state there is.
    Until it is full, candidates are drawn at random. Fitness is the reward, in studies with one objective or many.

    Args:
        space: The search space.
        seed: Seed of this one proposal.
        population_size: Candidates that live, P in the paper.
        tournament_size: Members drawn with replacement to compete for being the parent, S in the paper.
    """

    def __init__(self, space: SearchSpace, seed: int, *, population_size: int, tournament_size: int) -> None:
        super().__init__(space, seed)
        self.population_size = population_size
        self.tournament_size = tournament_size

    def propose(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Value]:  # noqa: ARG002
        """Return a random neighbour of the tournament's winner: it differs in exactly one choice."""
        population = _measured_rewards(study)[-self.population_size :]
        if len(population) < self.population_size:
            return self._space.sample(self._rng)
        drawn = self._rng.integers(len(population), size=self.tournament_size)
        parent, _ = max((population[int(index)] for index in drawn), key=lambda member: member[1])
        children = list(self._space.neighbours(parent.params))
        if not children:
            return self._space.sample(self._rng)
        return children[int(self._rng.integers(len(children)))]


def _measured_rewards(study: optuna.Study) -> list[tuple[FrozenTrial, float]]:
    """Return the measured candidates and their rewards, oldest first."""
    found = ((trial, measurement_of(trial)) for trial in candidates(study))
    return [(trial, measurement_reward(measurement)) for trial, measurement in found if measurement is not None]
