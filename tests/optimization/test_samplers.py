"""The contract that every sampler keeps, on a real space with real studies."""

import os

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from nas.errors import InvalidInputError
from nas.optimization import trials
from nas.optimization.objectives import OBJECTIVES, PARETO, REWARD
from nas.optimization.samplers import SAMPLER_NAMES, make_sampler
from tests.synthetic import REFERENCE, measured, new_study, run_search, small_space, step

# Small budgets give every sampler a short start-up, so that most asks are its own.
BUDGET = 16


@pytest.fixture
def space():
    return small_space()


@pytest.fixture(params=SAMPLER_NAMES)
def sampler(request):
    if request.param == "gp":
        pytest.importorskip("scipy")
    return request.param


# The Gaussian process takes about a second per proposal and objective, the predictor some ten milliseconds.
NUM_ASKS = {"gp": 12, "predictor": 25}
each_sampler_and_objective = pytest.mark.parametrize(
    ("sampler", "objective", "num_asks"),
    [
        pytest.param(
            name,
            objective,
            NUM_ASKS.get(name, 45),
            id=f"{name}-{objective.name}",
            marks=[pytest.mark.slow] if (name, objective) == ("gp", PARETO) else [],
        )
        for name in SAMPLER_NAMES
        for objective in OBJECTIVES.values()
    ],
    indirect=["sampler"],
)


@each_sampler_and_objective
def test_proposals_are_choices_of_the_space_and_a_mixed_study_is_no_obstacle(space, objective, sampler, num_asks):
    study = new_study(objective)
    study.enqueue_trial(REFERENCE)
    run_search(study, space, objective, "random", 5)
    end_each_way(study, space, objective)
    for params in run_search(study, space, objective, sampler, num_asks, budget=BUDGET):
        space.check(params)
    assert len(measured(study)) > 8


def end_each_way(study, space, objective):
    """Add a repeat, a failed trial, a trial outside the bounds and an interrupted one."""
    study.enqueue_trial(measured(study)[0].params)
    step(study, space, objective, "random")
    trials.tell_failed(study, described(study, space), "out of memory")
    trials.tell_outside(study, described(study, space), 0.7)
    interrupted = described(study, space)
    interrupted.set_user_attr(trials.INTERRUPTED, True)
    study.tell(interrupted, state=TrialState.FAIL)


def described(study, space):
    trial = study.ask()
    trials.describe(trial, space.suggest(trial))
    return trial


@each_sampler_and_objective
def test_the_same_seed_and_number_give_the_same_proposal_and_another_seed_another(space, objective, sampler, num_asks):
    runs = [
        run_search(new_study(objective), space, objective, sampler, num_asks, seed=seed, budget=BUDGET)
        for seed in (3, 3, 4)
    ]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]
    assert runs[0][-5:] != runs[2][-5:]


@each_sampler_and_objective
def test_a_resumed_search_proposes_what_an_uninterrupted_one_would(
    space, objective, sampler, num_asks, tmp_path, monkeypatch
):
    monkeypatch.setattr(os, "fsync", lambda _: None)  # the disk's speed is not what is tested
    whole = run_search(new_study(objective), space, objective, sampler, num_asks, budget=BUDGET)
    parts = []
    for part in (num_asks - 2, 2):
        storage = JournalStorage(JournalFileBackend(str(tmp_path / "journal.log")))
        study = optuna.create_study(
            study_name="search", storage=storage, directions=objective.directions, load_if_exists=True
        )
        parts += run_search(study, space, objective, sampler, part, budget=BUDGET)
    assert parts == whole


def test_start_up_stays_inside_the_bounds(space, sampler):
    study = new_study(PARETO)
    for params in run_search(study, space, PARETO, sampler, 8):
        assert space.excess(space.decode(params)) <= 0


def test_trials_that_run_at_the_same_time_differ(space, sampler):
    study = new_study(REWARD)
    run_search(study, space, REWARD, sampler, 10, budget=BUDGET)
    running = []
    for _ in range(3):
        number = len(study.trials)
        study.sampler = make_sampler(sampler, space=space, seed=0, trial_number=number, budget=BUDGET, objective=REWARD)
        running.append(space.suggest(study.ask()).arch_id)
    assert len(set(running)) == 3


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "aging"])
def test_guided_samplers_find_more_reward_than_chance(space, sampler):
    def mean_reward(name):
        found = []
        for seed in range(3):
            study = new_study(REWARD)
            run_search(study, space, REWARD, name, 120, seed=seed, budget=60)
            found += [t.value for t in measured(study)[60:]]
        return sum(found) / len(found)

    assert mean_reward(sampler) > mean_reward("random") + 0.01


def test_tpe_seldom_proposes_what_is_outside_the_bounds():
    space = small_space(max_num_params=25_000)
    rng = np.random.default_rng(0)
    anything = [{key: values[rng.integers(len(values))] for key, values in space.choices.items()} for _ in range(500)]
    by_chance = np.mean([space.excess(space.decode(params)) > 0 for params in anything])
    assert by_chance > 0.5
    study = new_study(PARETO)
    run_search(study, space, PARETO, "tpe", 100, budget=BUDGET)
    assert np.mean([t.state == TrialState.PRUNED for t in study.trials]) < by_chance / 2


def test_the_gaussian_process_wastes_no_proposal():
    pytest.importorskip("scipy")
    space = small_space(max_num_params=25_000)
    study = new_study(REWARD)
    run_search(study, space, REWARD, "gp", 30, budget=16)
    assert len(trials.candidates(study)) == 30


def test_nsga2_counts_reference_networks_in_its_first_generation(space):
    study = new_study(PARETO)
    study.enqueue_trial(REFERENCE)
    step(study, space, PARETO, "nsga2")
    step(study, space, PARETO, "nsga2")
    generations = [[v for k, v in t.system_attrs.items() if k.endswith(":generation")] for t in study.trials]
    assert generations == [[0], [0]]


def test_nsga2_reaches_later_generations_with_a_new_instance_per_ask(space):
    study = new_study(PARETO)
    run_search(study, space, PARETO, "nsga2", 90)
    last = study.trials[-1].system_attrs
    assert next(v for k, v in last.items() if k.endswith(":generation")) >= 2


def test_an_unknown_sampler_is_an_error(space):
    with pytest.raises(InvalidInputError, match="Did you mean 'tpe'"):
        make_sampler("tpee", space=space, seed=0, trial_number=0, budget=10, objective=REWARD)


def test_the_gaussian_process_warns_once_of_a_long_search(space, caplog):
    pytest.importorskip("scipy")
    for number in (2, 3, 4):  # a warm start takes the first numbers
        make_sampler("gp", space=space, seed=0, trial_number=number, budget=517, objective=PARETO)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
