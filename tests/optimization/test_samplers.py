"""The contract that every sampler keeps, on a real space with real studies."""

import sys

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from nas.errors import InvalidInputError
from nas.optimization import trials
from nas.optimization.objectives import OBJECTIVES, PARETO, REWARD
from nas.optimization.samplers import SAMPLER_NAMES, make_sampler
from nas.optimization.trials import free_in_a_row
from nas.optimization.uniform import PATIENCE
from tests.synthetic import REFERENCE, measured, new_study, run_search, small_space, step

# Budget 16 gives every sampler a short start-up, so that most asks are its own; the Gaussian process is slow.
NUM_ASKS = {"gp": 13}


@pytest.fixture
def space():
    return small_space()


@pytest.fixture(params=sorted(OBJECTIVES))
def objective(request):
    return OBJECTIVES[request.param]


@pytest.fixture(params=SAMPLER_NAMES)
def sampler(request):
    if request.param == "gp":
        pytest.importorskip("scipy")
    return request.param


def test_proposals_are_choices_of_the_space_and_a_mixed_study_is_no_obstacle(space, objective, sampler):
    study = new_study(objective)
    study.enqueue_trial(REFERENCE)
    for params in run_search(study, space, objective, sampler, NUM_ASKS.get(sampler, 60), budget=16):
        space.check(params)
    assert len(measured(study)) > 5
    if sampler != "gp":
        assert any(t.state == TrialState.FAIL for t in study.trials)


def test_the_same_seed_and_number_give_the_same_proposal_and_another_seed_another(space, objective, sampler):
    num_asks = NUM_ASKS.get(sampler, 40)
    runs = [
        run_search(new_study(objective), space, objective, sampler, num_asks, seed=seed, budget=16)
        for seed in (3, 3, 4)
    ]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]
    assert runs[0][-1] != runs[2][-1]


def test_a_resumed_search_proposes_what_an_uninterrupted_one_would(space, objective, sampler, tmp_path):
    num_asks = NUM_ASKS.get(sampler, 45)
    whole = run_search(new_study(objective), space, objective, sampler, num_asks, budget=16)
    parts = []
    for part in (num_asks - 2, 2):
        storage = JournalStorage(JournalFileBackend(str(tmp_path / "journal.log")))
        study = optuna.create_study(
            study_name="search", storage=storage, directions=objective.directions, load_if_exists=True
        )
        parts += run_search(study, space, objective, sampler, part, budget=16)
    assert parts == whole


def test_start_up_stays_inside_the_bounds(space, objective, sampler):
    study = new_study(objective)
    for params in run_search(study, space, objective, sampler, 8, budget=200):
        assert space.excess(space.decode(params)) <= 0


def test_trials_that_run_at_the_same_time_differ(space, objective, sampler):
    study = new_study(objective)
    run_search(study, space, objective, sampler, 12, budget=16)
    running = []
    for _ in range(3):
        number = len(study.trials)
        study.sampler = make_sampler(sampler, space=space, seed=0, trial_number=number, budget=16, objective=objective)
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


def test_tpe_learns_from_trials_outside_the_bounds():
    space = small_space(max_num_params=25_000)
    outside = [0, 0]
    for seed in range(3):
        study = new_study(PARETO)
        run_search(study, space, PARETO, "tpe", 100, seed=seed, budget=16)
        states = [t.state == TrialState.PRUNED for t in study.trials]
        outside[0] += sum(states[8:40])
        outside[1] += sum(states[68:100])
    assert outside[1] < outside[0]


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


def test_free_trials_in_a_row_are_followed_by_a_random_candidate(space, sampler):
    study = new_study(REWARD)
    step(study, space, REWARD, "random")
    original = trials.candidates(study)[0]
    for _ in range(PATIENCE):
        study.enqueue_trial(original.params)
        step(study, space, REWARD, sampler, budget=4)
    assert free_in_a_row(study) == PATIENCE
    number = len(study.trials)
    proposals = []
    for name in (sampler, "random"):
        study.sampler = make_sampler(name, space=space, seed=0, trial_number=number, budget=4, objective=REWARD)
        trial = study.ask()
        space.suggest(trial)
        proposals.append(trial.params)
    assert proposals[0] == proposals[1]


def test_interrupted_and_running_trials_are_not_free_in_a_row(space):
    study = new_study(REWARD)
    step(study, space, REWARD, "random")
    interrupted = study.ask()
    interrupted.set_user_attr(trials.INTERRUPTED, True)
    study.tell(interrupted, state=TrialState.FAIL)
    study.ask()
    assert free_in_a_row(study) == 0


def test_an_unknown_sampler_is_an_error(space):
    with pytest.raises(InvalidInputError, match="Did you mean 'tpe'"):
        make_sampler("tpee", space=space, seed=0, trial_number=0, budget=10, objective=REWARD)


def test_the_gaussian_process_without_scipy_names_the_extra(space, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(InvalidInputError, match=r'pip install "nas\[gp\]"'):
        make_sampler("gp", space=space, seed=0, trial_number=0, budget=10, objective=REWARD)


def test_the_gaussian_process_warns_once_of_a_long_search(space, caplog):
    pytest.importorskip("scipy")
    for number in range(3):
        make_sampler("gp", space=space, seed=0, trial_number=number, budget=500, objective=PARETO)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
