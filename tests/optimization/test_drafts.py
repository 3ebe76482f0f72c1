"""Drafts: the same proposals as from Optuna's own `ask`, and nothing in the study before they are added."""

import optuna
import pytest
from optuna.trial import TrialState

from nas.optimization.drafts import Drafts
from nas.optimization.objectives import PARETO
from nas.optimization.samplers import SAMPLER_NAMES, make_sampler
from nas.optimization.storage.journal import open_journal
from tests.synthetic import run_search, small_space


def study_of(budget=12):
    study = optuna.create_study(directions=list(PARETO.directions))
    run_search(study, small_space(), PARETO, "random", budget, budget=budget)
    return study


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "gp" else name for name in SAMPLER_NAMES]
)
def test_a_sampler_proposes_the_same_in_a_draft_as_in_an_ask(name):
    space, study = small_space(), study_of()

    def sampler():
        return make_sampler(name, space=space, seed=1, trial_number=99, budget=12, objective=PARETO)

    proposed = space.suggest(Drafts(study).begin(sampler(), len(study.trials)))
    study.sampler = sampler()
    assert space.suggest(study.ask()) == proposed


def test_nothing_is_in_the_study_before_the_draft_is_added_and_then_all_of_it(tmp_path):
    space, storage = small_space(), open_journal(tmp_path / "journal")
    study = optuna.create_study(storage=storage, directions=list(PARETO.directions))
    drafts, lines = Drafts(study), lambda: (tmp_path / "journal").read_bytes().count(b"\n")
    before = lines()
    sampler = make_sampler("tpe", space=space, seed=1, trial_number=0, budget=12, objective=PARETO)
    trial = drafts.begin(sampler, 0)
    space.suggest(trial)
    trial.set_user_attr("a", [1])
    trial.set_constraint("c", 0.5)
    assert (study.trials, lines()) == ([], before)
    assert [t.state for t in drafts.study.get_trials()] == [TrialState.RUNNING], "samplers see it"
    added = drafts.add(TrialState.WAITING)
    assert lines() == before + 1
    assert (added.params, added.user_attrs, added.constraints) == (trial.params, {"a": [1]}, {"c": 0.5})
    assert study.trials[0].state == TrialState.WAITING
    space.suggest(drafts.begin(sampler, 1))
    drafts.begin(sampler, 1)
    assert len(study.trials) == 1, "a draft that was not added is dropped"


def test_an_end_that_is_told_to_the_draft_puts_it_into_the_study_ended():
    study, space = study_of(3), small_space()
    drafts, number = Drafts(study), len(study.trials)
    trial = drafts.begin(optuna.samplers.RandomSampler(), number)
    space.suggest(trial)
    drafts.study.tell(trial, [0.5, 1.0, 2.0])
    assert drafts.added_number == number
    assert study.trials[number].values == [0.5, 1.0, 2.0]


def test_given_parameters_are_not_proposed():
    study, space = study_of(1), small_space()
    params = {name: values[-1] for name, values in space.choices.items()}
    trial = Drafts(study).begin(optuna.samplers.RandomSampler(), 1, params)
    assert space.suggest(trial) == space.decode(params)
