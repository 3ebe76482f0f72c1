from dataclasses import replace

import numpy as np
import optuna
import pytest

from nas.errors import InvalidInputError
from nas.optimization import trials
from nas.optimization.objectives import ACCURACY_MACS, PARETO, REWARD
from nas.optimization.predictor_sampler import PredictorSampler
from nas.optimization.samplers import make_sampler
from nas.space import SearchSpace
from nas.spec import ArchSpec, StageSpec
from tests.synthetic import measure, measured, new_study, run_search, small_space, step


def ask(study, space, *, seed=0, objective=PARETO, num_startup=5):
    study.sampler = PredictorSampler(space, seed, objective, num_startup=num_startup)
    trial = study.ask()
    trials.describe(trial, space.suggest(trial))
    return trial


@pytest.mark.parametrize("objective", [PARETO, ACCURACY_MACS], ids=lambda objective: objective.name)
def test_no_proposal_is_wasted(objective):
    space = small_space(max_num_params=25_000)
    study = new_study(objective)
    run_search(study, space, objective, "predictor", 30, budget=30)
    assert len(trials.candidates(study)) == 30


def test_it_finds_more_than_chance_and_than_tpe():
    space = small_space()

    def mean_reward(name):
        rewards = []
        for seed in range(2):
            study = new_study(REWARD)
            run_search(study, space, REWARD, name, 60, seed=seed, budget=60)
            rewards += [trial.value for trial in measured(study)[30:]]
        return np.mean(rewards)

    found = mean_reward("predictor")
    assert found > mean_reward("tpe") + 0.01
    assert found > mean_reward("random") + 0.02


def test_the_start_covers_the_space_better_than_chance():
    space = small_space()

    def most_shared(name):
        study = new_study(PARETO)
        params = run_search(study, space, PARETO, name, 20, budget=80)
        pairs = [(first, second) for index, first in enumerate(params) for second in params[:index]]
        return max(sum(first[key] == second[key] for key in first) for first, second in pairs)

    assert most_shared("predictor") < most_shared("random")


def test_the_predictor_takes_over_after_the_start():
    space = small_space()
    study = new_study(REWARD)
    run_search(study, space, REWARD, "random", 40)
    best = max(measured(study), key=lambda trial: trial.value).value
    values = [
        measure(space.decode(ask(study, space, objective=REWARD, seed=seed).params), space.reference)
        for seed in range(4)
    ]
    started = [REWARD.values(value)[0] for value in values]
    assert min(started) > np.median([trial.value for trial in measured(study)])
    assert max(started) > best - 0.02


def test_what_runs_is_not_proposed_again_nor_something_like_it():
    space = small_space()
    study = new_study(REWARD)
    run_search(study, space, REWARD, "random", 30)
    running = [
        ask(study, space, objective=REWARD, seed=7) for _ in range(6)
    ]  # one seed, so that only running ones differ
    assert len({trial.user_attrs[trials.ARCH_ID] for trial in running}) == 6


def test_networks_that_fail_are_avoided():
    space = small_space()
    study = new_study(PARETO)

    def fails(params):
        return params["s1_block"] == "fused"

    for number in range(60):
        study.sampler = make_sampler("predictor", space=space, seed=0, trial_number=number, budget=60, objective=PARETO)
        trial = study.ask()
        spec = space.suggest(trial)
        trials.describe(trial, spec)
        if fails(trial.params):
            trials.tell_failed(study, trial, "out of memory")
        else:
            trials.tell_measured(study, trial, measure(spec, space.reference), PARETO)
    lost = [fails(trial.params) for trial in study.trials]
    assert np.mean(lost[-20:]) < np.mean(lost[:20]) / 2


@pytest.mark.parametrize("predicted", [0.35, None])
def test_it_learns_from_trainings_that_were_stopped(predicted):
    space = small_space()
    study = new_study(REWARD)

    def is_stopped(params):
        return params["s2_kernel_size"] == 5

    for number in range(45):
        study.sampler = make_sampler("predictor", space=space, seed=0, trial_number=number, budget=45, objective=REWARD)
        trial = study.ask()
        spec = space.suggest(trial)
        trials.describe(trial, spec)
        found = measure(spec, space.reference)
        if is_stopped(trial.params):
            stopped = replace(found, accuracy=0.3, stopped=True, predicted_accuracy=predicted)
            trials.tell_stopped(study, trial, stopped)
        else:
            trials.tell_measured(study, trial, found, REWARD)
    stopped = [is_stopped(trial.params) for trial in study.trials]
    assert np.mean(stopped[:12]) > 0.3
    assert np.mean(stopped[-20:]) < 0.15


def test_trials_of_another_space_and_without_parameters_are_left_out():
    space = small_space()
    study = new_study(PARETO)
    run_search(study, space, PARETO, "random", 10)
    before = PredictorSampler(space, 3, PARETO, num_startup=5)
    other = optuna.distributions.CategoricalDistribution((1, 2))
    proposal = before.propose(study, study.trials[-1])
    study.add_trial(optuna.trial.create_trial(values=[0.9, 1, 1], params={"x": 1}, distributions={"x": other}))
    assert PredictorSampler(space, 3, PARETO, num_startup=5).propose(study, study.trials[-2]) == proposal


class FourNetworks(SearchSpace):
    """Sixteen configurations, of which four are different networks."""

    def __init__(self):
        super().__init__("four", {"width": (8, 16, 24, 32), "vain": (1, 2, 3, 4)})

    def decode(self, params):
        self.check(params)
        return ArchSpec(8, (StageSpec("fused", 1, 3, 1, params["width"], 1),), 16, train_image_size=16)

    def encode(self, spec):
        return {"width": spec.stages[0].out_channels, "vain": 1}


def test_equal_networks_are_proposed_once_and_a_space_that_is_used_up_is_no_obstacle():
    space = FourNetworks()
    study = new_study(REWARD)
    for params in ({"width": 8, "vain": 1}, {"width": 32, "vain": 2}):
        study.enqueue_trial(params)
        step(study, space, REWARD, "predictor", budget=8)
    found = {ask(study, space, objective=REWARD, num_startup=2).params["width"] for _ in range(2)}
    assert found == {16, 24}
    for _ in range(16):
        space.check(ask(study, space, objective=REWARD, num_startup=2).params)


def test_more_metrics_than_it_can_weigh_are_an_error():
    metrics = ("accuracy", "num_macs", "num_params", "step_time_s")
    four = replace(PARETO, metrics=metrics, directions=("maximize", "minimize", "minimize", "minimize"))
    with pytest.raises(InvalidInputError, match="at most 3, got 4"):
        PredictorSampler(small_space(), 0, four, num_startup=5)
