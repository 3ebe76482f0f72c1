import optuna
import pytest

from nas.optimization.aging import RegularizedEvolution
from nas.optimization.objectives import OBJECTIVES, PARETO, measurement_reward
from nas.optimization.trials import measurement_of
from tests.synthetic import measured, new_study, run_search, small_space


def distance(first, second):
    return sum(first[key] != second[key] for key in first)


def ask(study, space, *, seed, population_size=10, tournament_size=4):
    study.sampler = RegularizedEvolution(space, seed, population_size=population_size, tournament_size=tournament_size)
    trial = study.ask()
    space.suggest(trial)
    return trial.params


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=str)
def test_a_child_is_a_neighbour_inside_the_bounds_of_a_living_candidate(objective):
    space = small_space()
    study = new_study(objective)
    run_search(study, space, objective, "random", 40)
    living = [t.params for t in measured(study)[-10:]]
    for seed in range(30):
        child = ask(study, space, seed=seed)
        assert min(distance(child, parent) for parent in living) == 1
        assert space.excess(space.decode(child)) <= 0


def test_the_oldest_die_and_a_large_tournament_is_won_by_the_best_alive():
    space = small_space()
    study = new_study(PARETO)
    run_search(study, space, PARETO, "random", 60)
    ranked = sorted(measured(study), key=lambda t: measurement_reward(measurement_of(t)))
    best = ranked[-1]
    age = measured(study)[::-1].index(best)
    assert age > 0, "the best candidate must not be the youngest for this test to say something"
    alive = ask(study, space, seed=0, population_size=age + 1, tournament_size=500)
    assert distance(alive, best.params) == 1
    younger = measured(study)[-age:]
    heir = max(younger, key=lambda t: measurement_reward(measurement_of(t)))
    dead = ask(study, space, seed=0, population_size=age, tournament_size=500)
    assert distance(dead, heir.params) == 1
    assert distance(dead, best.params) > 1


def test_until_the_population_is_full_candidates_are_random():
    space = small_space()
    study = new_study(PARETO)
    run_search(study, space, PARETO, "random", 5)
    proposals = [ask(study, space, seed=seed, population_size=50) for seed in range(20)]
    near = [min(distance(p, t.params) for t in measured(study)) for p in proposals]
    assert max(near) > 3


def test_failed_candidates_are_no_parents():
    space = small_space()
    study = new_study(PARETO)
    run_search(study, space, PARETO, "random", 40)
    failed = [t for t in study.trials if t.state == optuna.trial.TrialState.FAIL]
    assert failed
    alive = [t.params for t in measured(study)]
    for seed in range(20):
        child = ask(study, space, seed=seed, population_size=len(alive), tournament_size=1)
        assert min(distance(child, parent) for parent in alive) == 1
