"""Rungs of real trainings."""

import math
from dataclasses import dataclass, replace

import pytest

from nas.evaluation.fidelity import Fidelity
from nas.evaluation.job import Job
from nas.evaluation.measurement import Measurement
from nas.evaluation.proxy_factory import PROXY_RECIPE, ProxyFactory
from nas.evaluation.rungs import rung_steps
from nas.optimization.stopping.none import NoStopping
from tests.stripes import SIZE, space, write_stripes

# Dropout and stochastic depth draw random numbers, which rungs must leave alone.
SPEC = replace(space.reference, dropout=0.3, stochastic_depth=0.2)
JOB = Job(0, SPEC, Fidelity(90, 2), seed=5)
SHARES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class StopAt:
    """Stops everybody at one rung, expecting 60%."""

    share: float
    validates: bool = True
    rungs: tuple[float, ...] = SHARES

    def predict(self, measurement):
        assert measurement.rungs[-1].share == self.share
        return 0.6

    def stops(self, measurement):
        assert math.isnan(measurement.accuracy), "nobody knows it at a rung"
        assert measurement.num_params > 0
        assert measurement.relative_step_time > 0
        return measurement.rungs[-1].share == self.share


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_stripes(tmp_path_factory.mktemp("data"), 150)


def make_factory(data, device, **changes):
    return ProxyFactory(
        str(data),
        image_size=SIZE,
        val_images=60,
        data_seed=0,
        reference=space.reference,
        device=str(device),
        recipe=replace(PROXY_RECIPE, batch_size=15),
        **changes,
    )


@pytest.fixture
def evaluator(data, device):
    return make_factory(data, device)()


@pytest.mark.parametrize("rule", [NoStopping(SHARES), StopAt(2.0, validates=False)], ids=["validated", "looked at"])
def test_who_is_not_stopped_ends_where_it_would_without_rungs(evaluator, rule):
    plain = evaluator(JOB)
    watched = evaluator(replace(JOB, stop_rule=rule))
    assert [rung.images_seen for rung in watched.rungs] == [45, 90, 135]
    assert (watched.accuracy, watched.train_loss) == (plain.accuracy, plain.train_loss), "to the last bit"
    assert (watched.images_seen, watched.stopped, watched.predicted_accuracy) == (180, False, None)
    assert (plain.images_seen, plain.rungs) == (180, ())


def test_a_rung_says_how_the_candidate_did(evaluator):
    found = evaluator(replace(JOB, stop_rule=NoStopping(SHARES)))
    for rung in found.rungs:
        assert 0 <= rung.accuracy <= 1
        assert (rung.accuracy * 60).is_integer()
        assert rung.num_val_images == 60
        assert math.isfinite(rung.val_loss)
        assert math.isfinite(rung.train_loss)
        assert rung.rung_s > 0
    spent = [rung.train_s for rung in found.rungs]
    assert spent == sorted(spent)
    assert spent[-1] + sum(rung.rung_s for rung in found.rungs) < found.train_s
    assert Measurement.from_dict(found.to_dict()) == found


def test_training_ends_where_it_is_stopped(evaluator):
    whole = evaluator(replace(JOB, stop_rule=NoStopping(SHARES)))
    found = evaluator(replace(JOB, stop_rule=StopAt(0.5)))
    assert found.stopped
    assert found.images_seen == 90
    assert [rung.share for rung in found.rungs] == [0.25, 0.5]
    assert [rung.accuracy for rung in found.rungs] == [rung.accuracy for rung in whole.rungs[:2]]
    last = found.rungs[-1]
    assert (found.accuracy, found.predicted_accuracy) == (last.accuracy, 0.6)
    assert found.accuracy_stderr == math.sqrt(last.accuracy * (1 - last.accuracy) / 60)
    assert math.isfinite(found.train_loss)
    assert found.wall_s >= found.train_s > last.train_s
    assert Measurement.from_dict(found.to_dict()) == found


def test_without_validations_there_is_one_where_training_is_stopped(evaluator):
    validated = evaluator(replace(JOB, stop_rule=StopAt(0.5)))
    found = evaluator(replace(JOB, stop_rule=StopAt(0.5, validates=False)))
    first, last = found.rungs
    assert (first.accuracy, first.val_loss, first.num_val_images, first.rung_s) == (None, None, 0, 0.0)
    assert [rung.train_loss for rung in found.rungs] == [rung.train_loss for rung in validated.rungs]
    assert (last.accuracy, last.val_loss, last.num_val_images) == (found.accuracy, found.val_loss, 60)
    assert (found.accuracy, found.accuracy_stderr) == (validated.accuracy, validated.accuracy_stderr)
    assert (found.stopped, found.predicted_accuracy) == (True, 0.6)
    assert last.rung_s > 0
    assert Measurement.from_dict(found.to_dict()) == found


def test_others_may_time_during_a_rung(evaluator, monkeypatch):
    pauses = []
    monkeypatch.setattr(evaluator._lease, "yield_", lambda: pauses.append(None))
    evaluator(replace(JOB, stop_rule=NoStopping((0.5,))))
    # After 12 steps, and after a batch to re-estimate BatchNorm and one to validate, at the rung and at the end.
    assert len(pauses) == 12 + 2 * 2


@pytest.mark.parametrize(
    ("shares", "total", "expected"),
    [
        ((0.25, 0.5), 100, {25: 0.25, 50: 0.5}),
        ((0.001, 0.5), 100, {1: 0.001, 50: 0.5}),
        ((0.5, 0.999), 100, {50: 0.5}),  # its step is the last
        ((0.125, 0.25, 0.5), 2, {1: 0.5}),
        ((0.5,), 1, {}),
        ((), 100, {}),
    ],
)
def test_steps_of_rungs(shares, total, expected):
    assert rung_steps(shares, total) == expected


@pytest.mark.parametrize("validates", [True, False])
def test_a_training_that_goes_on_after_an_interruption_has_all_its_rungs(data, tmp_path, validates):
    factory = make_factory(data, "cpu", checkpoints=tmp_path / "checkpoints", checkpoint_every_s=0.0)
    job = replace(JOB, stop_rule=StopAt(2.0, validates))
    whole = factory()(job)

    class KilledAtTheLastRung(StopAt):
        def stops(self, measurement):
            if measurement.rungs[-1].share == self.share:
                raise KeyboardInterrupt
            return False

    with pytest.raises(KeyboardInterrupt):
        factory()(replace(JOB, stop_rule=KilledAtTheLastRung(0.75, validates)))
    (kept,) = (tmp_path / "checkpoints").iterdir()
    again = factory()(job)
    assert not kept.exists()
    assert again.accuracy == whole.accuracy
    assert [(r.share, r.accuracy, r.train_loss) for r in again.rungs] == [
        (r.share, r.accuracy, r.train_loss) for r in whole.rungs
    ]
    assert again.rungs[1].train_s < again.rungs[2].train_s
