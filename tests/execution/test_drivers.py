"""Which drivers are taken for gone, by a clock that the test turns."""

from dataclasses import dataclass

import optuna
import pytest
from optuna.trial import FrozenTrial, Trial, TrialState

from nas.execution.drivers import Membership
from nas.execution.ledger import Ledger
from nas.execution.sharing import Others
from nas.optimization.objectives import PARETO
from nas.optimization.trials import ARCH_ID, DRIVER, MEASUREMENT, candidates, describe, pass_on
from tests.execution.support import make_space, measure, open_study

TIMEOUT_S = 40.0


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def study() -> optuna.Study:
    return open_study()


def running(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(states=(TrialState.RUNNING,))


def run_at(study: optuna.Study, driver: Membership) -> Trial:
    trial = study.ask()
    describe(trial, make_space().suggest(trial))
    driver.own(trial)
    return trial


def test_a_driver_is_gone_after_its_time_of_silence_and_not_before(study: optuna.Study) -> None:
    clock = Clock()
    reader, other = Membership(study, TIMEOUT_S, clock), Membership(study, TIMEOUT_S)
    other._beat()
    trial = run_at(study, other)
    for now in range(0, 100, 10):  # It beats between all looks.
        clock.now = now
        other._beat()
        assert reader.abandoned(running(study)) == []
    for now in (100, 110, 120):
        clock.now = now
        assert reader.abandoned(running(study)) == []
    clock.now = 130
    assert [t.number for t in reader.abandoned(running(study))] == [trial.number]


def test_a_reader_that_was_held_up_itself_does_not_blame_the_others(study: optuna.Study) -> None:
    clock = Clock()
    reader, other = Membership(study, TIMEOUT_S, clock), Membership(study, TIMEOUT_S)
    other._beat()
    run_at(study, other)
    assert reader.abandoned(running(study)) == []
    clock.now = 1e6
    assert reader.abandoned(running(study)) == []
    other._beat()
    clock.now = 2e6
    assert reader.abandoned(running(study)) == []


def test_one_that_left_and_one_that_was_replaced_are_gone_at_once(study: optuna.Study) -> None:
    reader = Membership(study, TIMEOUT_S)
    with Membership(study, TIMEOUT_S) as leaving:
        left = run_at(study, leaving)
        assert reader.abandoned(running(study)) == []
    assert [t.number for t in reader.abandoned(running(study))] == [left.number]
    killed = Membership(study, TIMEOUT_S)
    killed._beat()
    run_at(study, killed)
    reader.replaces(killed.identity)
    assert len(reader.abandoned(running(study))) == 2


def test_its_own_trials_are_never_abandoned(study: optuna.Study) -> None:
    clock = Clock()
    reader = Membership(study, TIMEOUT_S, clock)
    run_at(study, reader)
    for now in range(0, 1000, 10):
        clock.now = now
        assert reader.abandoned(running(study)) == []


def test_drivers_do_not_propose_the_same(study: optuna.Study) -> None:
    assert Membership(study, TIMEOUT_S).draw_offset != Membership(study, TIMEOUT_S).draw_offset


def test_trials_of_a_lost_driver_go_on_once_and_what_it_measured_is_told(study: optuna.Study) -> None:
    with Membership(study, TIMEOUT_S) as lost:
        unfinished, measured = run_at(study, lost), run_at(study, lost)
        measurement = measure(make_space().decode(measured.params))
        measured.set_user_attr(MEASUREMENT, measurement.to_dict())
    with Membership(study, TIMEOUT_S) as one, Membership(study, TIMEOUT_S) as two:
        ledger = Ledger()
        for others in (Others(study, PARETO, one), Others(study, PARETO, two)):
            ledger, ended = others.look(ledger)
        assert ended == []
    assert [t.number for t in candidates(study)] == [measured.number]
    assert study.trials[measured.number].values == PARETO.values(measurement)
    assert study.trials[unfinished.number].state == TrialState.FAIL
    (copy,) = study.get_trials(states=(TrialState.WAITING,))
    assert copy.params == unfinished.params
    assert DRIVER not in copy.user_attrs
    assert copy.user_attrs[ARCH_ID] == unfinished.user_attrs[ARCH_ID]
    assert list(ledger.waiting) == [copy.number]


def test_only_one_of_two_passes_a_trial_on(study: optuna.Study) -> None:
    with Membership(study, TIMEOUT_S) as driver:
        trial = study._storage.get_trial(run_at(study, driver)._trial_id)
    assert [pass_on(study, trial), pass_on(study, trial)] == [True, False]
    assert len(study.trials) == 2
