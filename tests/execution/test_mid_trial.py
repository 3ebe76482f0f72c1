"""A worker killed in the middle of a real training: the next one goes on, and ends with the same network."""

import logging
import os
import re
import signal
import time
from dataclasses import dataclass, replace

import pytest
import torch
from safetensors.torch import load_file

from nas.evaluation.fidelity import Fidelity
from nas.evaluation.job import Evaluate, Job
from nas.evaluation.measurement import Measurement
from nas.evaluation.proxy_factory import PROXY_RECIPE, ProxyFactory
from nas.execution import WorkerPool, worker_environments
from nas.training.weights import save_weights
from tests.execution.support import is_alive
from tests.stripes import SIZE, space, write_stripes

JOB = Job(0, space.reference, Fidelity(90, 60), seed=5)
GOES_ON = r"Training goes on at step (\d+) of 360\."


@dataclass(frozen=True)
class Showing(ProxyFactory):
    """Shows its process and the trained network's weights in files beside the checkpoints."""

    def __call__(self) -> Evaluate:
        import nas.evaluation.training as training

        evaluate, folder, validate = super().__call__(), self.checkpoints.parent, training.validate
        (folder / f"{os.getpid()}.pid").touch()

        def show(model, *args):
            save_weights(model, folder / "weights.safetensors", {})
            return validate(model, *args)

        training.validate = show  # In a worker of its own, which ends with the test.
        return evaluate


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_stripes(tmp_path_factory.mktemp("data"), 150)


def factory(data, folder, every_s):
    recipe = replace(PROXY_RECIPE, batch_size=15, flip=True, shift=1)
    folder.mkdir()
    return Showing(
        str(data),
        image_size=SIZE,
        val_images=60,
        data_seed=0,
        reference=space.reference,
        device="cpu",
        recipe=recipe,
        checkpoints=folder / "checkpoints",
        checkpoint_every_s=every_s,
    )


def pids(folder):
    return [int(path.stem) for path in folder.glob("*.pid")]


def kill_when_kept(pool, folder):
    deadline = time.monotonic() + 60
    while not list((folder / "checkpoints").glob("*.safetensors")):
        assert pool.next_outcome(0.005) is None
        assert time.monotonic() < deadline
    (pid,) = [pid for pid in pids(folder) if is_alive(pid)]
    os.kill(pid, signal.SIGKILL)


def measured(pool):
    ended = pool.next_outcome(120)
    assert ended is not None
    assert isinstance(ended[1], Measurement)
    return ended[1]


@pytest.mark.slow
def test_goes_on_after_a_kill_and_ends_the_same(data, tmp_path, caplog):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    with WorkerPool(factory(data, whole, 1e6), worker_environments("cpu", 1)) as pool:
        pool.submit(JOB)
        expected = measured(pool)
    assert not (whole / "checkpoints").exists()
    with caplog.at_level(logging.INFO), WorkerPool(factory(data, killed, 0.02), worker_environments("cpu", 1)) as pool:
        pool.submit(JOB)
        kill_when_kept(pool, killed)
        found = measured(pool)
    step = re.search(GOES_ON, caplog.text)
    assert step is not None
    assert 0 < int(step[1]) < 360
    assert found.num_attempts == 2
    assert (found.accuracy, found.train_loss) == (expected.accuracy, expected.train_loss)
    one, other = (load_file(folder / "weights.safetensors") for folder in (whole, killed))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert list((killed / "checkpoints").iterdir()) == []
