"""Candidates that are expected to be too slow, in real searches with step times that follow from the networks."""

import math

import optuna
import pytest

from nas.evaluation.step_features import StepShape
from nas.evaluation.timing_history import MIN_HISTORY, TimingHistory
from nas.execution import InProcessExecutor
from nas.execution.events import Event, Measured, Outside, Started
from nas.execution.prescreen import Prescreen
from nas.optimization.trials import ARCH, candidates
from nas.spec import ArchSpec
from tests.execution.support import Analytic, ids, make_space, measure, open_study, search, told

SHAPE = StepShape(batch_size=32, num_classes=10, in_channels=3)
LIMIT = 0.45


def prescreen(limit=LIMIT):
    return Prescreen(TimingHistory(SHAPE), limit)


def step_time(trial):
    return measure(ArchSpec.from_dict(trial.user_attrs[ARCH])).relative_step_time


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    study, events = open_study(), list[Event]()
    with InProcessExecutor(Analytic(tmp_path_factory.mktemp("log") / "log")) as jobs:
        search(study, jobs, budget=60, prescreen=prescreen(), events=events)
    return study, events


def test_slow_candidates_are_refused_for_free_once_enough_are_measured(searched):
    study, events = searched
    measured = candidates(study)
    assert len(measured) == 60
    known = MIN_HISTORY + 1  # One more is proposed while the last of them runs.
    early, late = measured[:known], measured[known:]
    assert any(step_time(trial) > 1.1 * LIMIT for trial in early), "those stay as they were measured"
    assert all(trial.values is not None for trial in early)
    assert all(step_time(trial) < 1.1 * LIMIT for trial in late)
    outside = [event for event in events if isinstance(event, Outside)]
    assert outside
    assert all(event.excess > 0 for event in outside)
    first = next(index for index, event in enumerate(events) if isinstance(event, Outside))
    assert len([event for event in events[:first] if isinstance(event, Measured)]) >= MIN_HISTORY


def test_those_refused_are_slow_and_the_sampler_learns_how_far(searched):
    study, _ = searched
    refused = [trial for trial in study.trials if trial.state == optuna.trial.TrialState.PRUNED]
    assert refused
    for trial in refused:
        assert step_time(trial) > 0.95 * LIMIT
        (excess,) = trial.constraints.values() if hasattr(trial, "constraints") else (None,)
        if excess is not None:
            assert excess == pytest.approx(math.log(step_time(trial) / LIMIT), abs=0.1)


def test_a_resumed_search_goes_on_refusing(searched, tmp_path):
    broken = open_study()
    with InProcessExecutor(Analytic(tmp_path / "log")) as jobs:
        for budget in (10, 30, 60):
            search(broken, jobs, budget=budget, prescreen=prescreen())
    assert told(broken) == told(searched[0])


def test_a_search_ends_when_all_that_is_left_is_too_slow(tmp_path):
    space, study, events = make_space(num_layers=(1,), num_references=1), open_study(), list[Event]()
    with InProcessExecutor(Analytic(tmp_path / "log")) as jobs:
        finished = search(study, jobs, budget=36, space=space, prescreen=prescreen(0.01), events=events)
    assert finished.exhausted
    assert finished.num_candidates == MIN_HISTORY + 1 == len([e for e in events if isinstance(e, Started)])
    assert len(set(ids(candidates(study)))) == MIN_HISTORY + 1
