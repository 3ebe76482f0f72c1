import math
import pickle
import subprocess
import sys
import threading
import time
from dataclasses import fields, replace

import pytest
import torch

from nas import InvalidInputError
from nas.complexity import complexity
from nas.data import load_dataset
from nas.errors import DivergedError
from nas.evaluation.design import balanced_networks
from nas.evaluation.device import physical_name
from nas.evaluation.fidelity import Fidelity
from nas.evaluation.job import Job
from nas.evaluation.lease import Lease, lease_folder
from nas.evaluation.measurement import SIGNAL_NAMES, Measurement
from nas.evaluation.proxy_factory import PROXY_RECIPE, ProxyFactory
from nas.evaluation.signals.scorer import Scorer
from nas.evaluation.timing_history import MIN_HISTORY
from tests.evaluation.lease_player import lock_state
from tests.running import start
from tests.stripes import SIZE, space, write_stripes

SMALL = space.reference
OTHER = space.decode({**space.references["small"], "s1_block": "mbconv", "s2_num_layers": 2})
_EVALUATE = """
import pickle, sys
factory, job = pickle.load(open(sys.argv[1], "rb"))
found = factory()(job)
print(found.accuracy, found.train_loss)
"""
UNKNOWN = ("peak_memory_bytes", "timing_error_fraction", "predicted_accuracy", "rungs", "num_attempts")
"""May have no value; the number of attempts is the pool's to say."""
JOB = Job(0, SMALL, Fidelity(90, 2), seed=5)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_stripes(tmp_path_factory.mktemp("data"), 150)


def factory(data, device, **changes):
    known = ProxyFactory(
        str(data),
        image_size=SIZE,
        val_images=60,
        data_seed=0,
        reference=SMALL,
        device=str(device),
        recipe=replace(PROXY_RECIPE, batch_size=15),
    )
    return replace(known, **changes)


@pytest.fixture
def evaluator(data, device):
    return factory(data, device)()


def test_a_measurement_is_complete(evaluator, device):
    found = evaluator(JOB)
    for field in fields(Measurement):
        value = getattr(found, field.name)
        if isinstance(value, float | int):
            assert math.isfinite(value), field.name
            assert value >= 0, field.name
        elif field.name not in UNKNOWN and not field.name.startswith("signal"):
            assert value, field.name
    cost = complexity(SMALL, num_classes=3, in_channels=1, image_size=SIZE)
    assert (found.num_params, found.num_macs, found.relative_params) == (cost.num_params, cost.num_macs, 1.0)
    assert found.val_loss != found.train_loss
    assert found.accuracy_stderr == math.sqrt(found.accuracy * (1 - found.accuracy) / 60)
    assert (found.fidelity, found.seed, found.device) == ("90x2", 5, str(device))
    assert (found.step_batch_size, found.step_image_size) == (15, SIZE)
    assert found.dtype == ("float32" if device.type == "cpu" else "bfloat16")
    assert found.train_s + found.timing_s + found.lease_wait_s <= found.wall_s
    assert found.exclusive is True
    assert found.timing_device == str(device)
    assert Measurement.from_dict(found.to_dict()) == found


def test_a_time_that_others_do_not_explain_is_measured_again(evaluator):
    for spec in balanced_networks(space, MIN_HISTORY):
        evaluator.step_times.history.add(spec, 20.0 * spec.num_blocks)
    assert evaluator(replace(JOB, fidelity=Fidelity(30, 1))).num_timings == 2


def test_the_same_job_gives_the_same_accuracy_whatever_came_between(evaluator):
    first = evaluator(JOB)
    assert evaluator(JOB).accuracy == first.accuracy
    evaluator(Job(1, OTHER, Fidelity(60, 1), seed=1))
    torch.manual_seed(12345)
    again = evaluator(replace(JOB, number=7))
    assert (again.accuracy, again.train_loss) == (first.accuracy, first.train_loss)


def test_scores_are_recorded_and_change_nothing(data, device):
    plain, scored = factory(data, device)(), factory(data, device, signals=SIGNAL_NAMES)()
    first, second = plain(JOB), scored(JOB)
    assert (second.accuracy, second.train_loss) == (first.accuracy, first.train_loss)
    assert [getattr(first, f"signal_{name}") for name in SIGNAL_NAMES] == [None] * len(SIGNAL_NAMES)
    expected = Scorer(scored.dataset, SIGNAL_NAMES)(SMALL)
    assert {name: getattr(second, f"signal_{name}") for name in SIGNAL_NAMES} == expected
    assert 0 < second.signals_s < second.wall_s
    assert first.signals_s is None


def test_the_same_job_gives_the_same_accuracy_in_a_fresh_process(data, tmp_path):
    here = factory(data, "cpu")()(JOB)
    (tmp_path / "job").write_bytes(pickle.dumps((factory(data, "cpu"), JOB)))
    process = start("-c", _EVALUATE, tmp_path / "job")
    out, err = process.communicate(timeout=120)
    assert [float(word) for word in out.split()] == [here.accuracy, here.train_loss], err


def test_a_measurement_from_before_a_field_was_added_can_be_read(evaluator):
    found = evaluator(JOB).to_dict()
    older = {name: value for name, value in found.items() if name not in ("exclusive", "paused_s")}
    assert Measurement.from_dict(older).to_dict() == {**found, "exclusive": None, "paused_s": None}
    for wrong in ({**found, "new": 1}, {name: value for name, value in found.items() if name != "accuracy"}):
        with pytest.raises(InvalidInputError, match=r"`measurement` must be one of this version, got .*(new|accuracy)"):
            Measurement.from_dict(wrong)


def test_work_shares_the_device_and_timing_has_it_alone(evaluator, device, monkeypatch):
    """Looked at inside the timing and at every batch, at one of which a neighbour wants to time, and may."""
    gate, room = (lease_folder() / f"{physical_name(device)}.{part}" for part in ("gate", "room"))
    neighbour, timings, batches = Lease(physical_name(device)), [], []
    time_blocks, pause = evaluator.step_times.timer._blocks, evaluator._lease.yield_

    def time_once():
        with neighbour.exclusive(60) as alone:
            timings.append(("neighbour", lock_state(room), alone))

    def watched_blocks(candidate, reference):
        timings.append(("own", lock_state(room), True))
        return time_blocks(candidate, reference)

    def watched_pause():
        batches.append(lock_state(room))
        if len(batches) == 3:
            threading.Thread(target=time_once).start()
            while lock_state(gate) != "alone":
                time.sleep(0.001)
        pause()

    monkeypatch.setattr(evaluator.step_times.timer, "_blocks", watched_blocks)
    monkeypatch.setattr(evaluator._lease, "yield_", watched_pause)
    assert evaluator(JOB).paused_s > 0
    assert timings == [("own", "alone", True), ("neighbour", "alone", True)]
    # 90 images in batches of 15, twice; one batch to re-estimate BatchNorm, one to validate.
    assert batches == ["shared"] * (2 * 6 + 1 + 1)


def test_seed_fidelity_and_network_each_matter(evaluator):
    first = evaluator(JOB)
    changed = [
        replace(JOB, seed=6),
        replace(JOB, fidelity=Fidelity(60, 2)),
        replace(JOB, fidelity=Fidelity(90, 2, 24)),
        replace(JOB, spec=OTHER),
    ]
    losses = {evaluator(job).train_loss for job in changed}
    assert len(losses | {first.train_loss}) == 5


def test_more_images_than_there_are_means_all(evaluator):
    everything = evaluator(replace(JOB, fidelity=Fidelity(90, 1)))
    assert len(evaluator.dataset.train) == 90
    more = evaluator(replace(JOB, fidelity=Fidelity(5000, 1)))
    assert (more.fidelity, more.train_loss) == ("5000x1", everything.train_loss)


def test_training_longer_is_better_than_chance(evaluator):
    validation, loss = evaluator.train(SMALL, Fidelity(90, 15), seed=0)
    assert validation.accuracy > 0.8
    assert validation.loss < loss
    assert loss < math.log(3)


def test_a_candidate_that_diverges_says_so(data, device):
    recipe = replace(PROXY_RECIPE, batch_size=15, learning_rate=1e30, weight_decay=0.5)
    with pytest.raises(DivergedError):
        factory(data, device, recipe=recipe)()(JOB)


def test_what_the_user_must_correct_is_known_when_it_is_built(data):
    with pytest.raises(InvalidInputError, match="`device` must be"):
        factory(data, "nowhere")()
    with pytest.raises(InvalidInputError, match="`timing_device` must be"):
        factory(data, "cpu", timing_device="nowhere")()
    with pytest.raises(InvalidInputError, match="`data` must be"):
        factory(f"{data}/missing", "cpu")()


def test_the_split_is_the_one_of_the_data_sets_seed(data):
    evaluator = factory(data, "cpu", data_seed=3)()
    expected = load_dataset(str(data), image_size=SIZE, val_images=60, seed=3)
    assert torch.equal(evaluator.dataset.val.images, expected.val.images)
    assert evaluator.dataset.fingerprint == expected.fingerprint


def test_jobs_can_be_told_without_torch():
    code = "import sys, nas.evaluation.job, nas.evaluation.fidelity; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
