"""The replay itself, in the default suite: benchmarks rest on it."""

from dataclasses import dataclass, replace

import pytest

from nas.evaluation.measurement import Measurement
from nas.optimization.objectives import PARETO
from nas.optimization.stopping.dominated import DominatedStopping
from nas.optimization.stopping.none import NoStopping
from tests.benchmarks.replay import front_volume, plain_train_s, replay
from tests.optimization.stopping.making import SHARES, candidates


@dataclass(frozen=True)
class AllAtAQuarter:
    validates: bool
    rungs: tuple[float, ...] = SHARES

    def rule(self, measurements):
        return self

    def predict(self, measurement):
        return None

    def stops(self, measurement):
        return measurement.rungs[-1].share == 0.25


@pytest.fixture
def log() -> list[Measurement]:
    # A second of training, of which 0.06 s are looking.
    return [replace(measurement, train_s=1.06, timing_s=0.0) for measurement in candidates(40)]


def test_without_stopping_everybody_finishes_and_rungs_cost_what_they_cost(log):
    for rungs, cost in (((), 40.0), ((0.5,), 40.8), (SHARES, 42.4)):
        done = replay(log, NoStopping(rungs))
        assert len(done.finished) == 40
        assert done.train_s == pytest.approx(cost)
    assert sum(map(plain_train_s, log)) == pytest.approx(40)
    assert front_volume(done.finished, log) == front_volume(log, log)


def test_who_is_stopped_costs_its_steps_and_one_validation_unless_the_rule_validates(log):
    for validates, cost in ((False, 0.84 * 0.25 + 0.02), (True, 0.84 * 0.25 + 0.04)):
        done = replay(log, AllAtAQuarter(validates))
        assert [len(m.rungs) for m in done.ended] == [2] * 40
        assert done.train_s == pytest.approx(40 * cost)


def test_stopping_saves_and_never_gains(log):
    done = replay(log, DominatedStopping(SHARES, PARETO))
    assert len(done.ended) == 40
    assert 10 <= len(done.finished) < 40
    assert done.train_s < 40
    assert front_volume(done.finished, log) <= front_volume(log, log)
    for measurement in done.ended:
        assert len(measurement.rungs) == 3 or measurement.stopped
