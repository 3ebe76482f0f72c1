"""Jobs whose worker dies, hangs, loses its device or runs out of memory, for real."""

import logging
import os
import pickle
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from nas.errors import DeviceLostError, InvalidInputError
from nas.evaluation.measurement import Measurement
from nas.execution import Evaluate, Failure, InProcessExecutor, Job, Outcome, WorkerPool
from nas.execution.memory import num_system_kills
from nas.execution.worker_process import WorkerProcess
from tests.execution.support import FIDELITY, is_alive, make_space, measure

SPEC = make_space().reference
JOB = Job(0, SPEC, FIDELITY, seed=0)
ASSERT = "CUDA error: device-side assert triggered"
HANGS = ("hang", "stop")


@dataclass(frozen=True)
class Faulty:
    """Builds an evaluator to which something happens.

    Attributes:
        log: Gets a line "number pid from_scratch" for each attempt.
        fault: What happens.
        times: In how many of the first attempts.
    """

    log: Path
    fault: str
    times: int = 2

    def __call__(self) -> Evaluate:
        return self.evaluate

    def evaluate(self, job: Job) -> Measurement:
        with self.log.open("a") as file:
            file.write(f"{job.number} {os.getpid()} {job.from_scratch}\n")
        if len(attempts(self.log)) <= self.times:
            self.fail()
        return measure(job.spec, job.seed)

    def fail(self) -> None:
        if self.fault in ("device", "tensor"):
            import torch  # takes seconds, which the other workers do without
        match self.fault:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "exit":
                os._exit(7)
            case "hang":
                time.sleep(600)
            case "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "device":
                raise torch.AcceleratorError(ASSERT)
            case "memory":
                held = [bytearray(2**24) for _ in range(1000)]
                raise AssertionError(len(held))
            case "tensor":
                torch.ones(2**31)


def attempts(log: Path) -> list[tuple[int, int, bool]]:
    """Return number, process and `from_scratch` of every attempt."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [(int(number), int(pid), again == "True") for number, pid, again in (line.split() for line in lines)]


def take(pool: WorkerPool) -> Outcome:
    ended = pool.next_outcome(60)
    assert ended is not None
    job, outcome = ended
    assert (job.number, job.spec) == (JOB.number, JOB.spec)
    return outcome


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "fault", ["kill", "hang", "device", pytest.param("exit", marks=SLOW), pytest.param("stop", marks=SLOW)]
)
def test_a_job_is_begun_once_more_in_another_process(tmp_path, fault, caplog):
    log = tmp_path / "log"
    with WorkerPool(Faulty(log, fault, times=1), [{}], timeout_s=1.0 if fault in HANGS else 60) as pool:
        pool.submit(JOB)
        outcome = take(pool)
        assert isinstance(outcome, Measurement)
        assert outcome.num_attempts == 2
        (_, first, _), (_, second, from_scratch) = attempts(log)
        assert first != second
        assert not is_alive(first)
        assert from_scratch == (fault in HANGS)
        assert "Trial 0 is begun once more" in caplog.text
        pool.submit(JOB)
        outcome = take(pool)
        assert isinstance(outcome, Measurement)
        assert outcome.num_attempts == 1
        assert attempts(log)[-1][1:] == (second, False)


@pytest.mark.parametrize(
    ("fault", "kind", "reason"),
    [
        ("kill", "worker died", "worker died (signal 9)"),
        pytest.param("hang", "timed out", "timed out: no result after 1 s", marks=SLOW),
        pytest.param("device", "device error", f"device error: AcceleratorError: {ASSERT}", marks=SLOW),
    ],
)
def test_and_then_it_has_failed(tmp_path, fault, kind, reason):
    log = tmp_path / "log"
    with WorkerPool(Faulty(log, fault), [{}], timeout_s=0.8 if fault in HANGS else 60) as pool:
        pool.submit(JOB)
        outcome = take(pool)
        assert isinstance(outcome, Failure)
        assert outcome.kind == kind
        assert outcome.reason.startswith(reason)
        assert outcome.reason.endswith(", 2 attempts")
        pool.submit(JOB)
        assert isinstance(take(pool), Measurement)
    assert len(attempts(log)) == 3


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is limited on Linux alone")
@pytest.mark.parametrize("fault", ["memory", pytest.param("tensor", marks=SLOW)])
def test_a_job_that_takes_too_much_memory_fails_and_its_worker_goes_on(tmp_path, fault):
    log = tmp_path / "log"
    with WorkerPool(Faulty(log, fault, times=1), [{}], memory_bytes=(4 if fault == "tensor" else 1) * 2**29) as pool:
        pool.submit(JOB)
        outcome = take(pool)
        assert isinstance(outcome, Failure)
        assert outcome.kind == "out of memory"
        assert "attempts" not in outcome.reason
        pool.submit(JOB)
        assert isinstance(take(pool), Measurement)
    first, second = attempts(log)
    assert first[1] == second[1]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is limited on Linux alone")
def test_a_limit_below_what_a_worker_holds_is_refused(tmp_path):
    with (
        pytest.raises(InvalidInputError, match=r"`worker_memory` must be above the .* GiB that a worker holds"),
        WorkerPool(Faulty(tmp_path / "log", ""), [{}], memory_bytes=2**20),
    ):
        pytest.fail("the pool must not open")


@pytest.mark.skipif(not Path("/proc/vmstat").exists(), reason="the system does not say")
def test_a_worker_that_the_system_killed_says_so(tmp_path):
    """As if its count had risen since the worker was started: to raise it would take all of the machine's memory."""
    worker = WorkerProcess.start({}, pickle.dumps(Faulty(tmp_path / "log", "")), None, starts=1, now_s=0.0)
    assert worker.system_kills == num_system_kills()
    worker.system_kills -= 1
    assert worker.end() == Failure("out of memory", "out of memory: the system killed the worker")


def test_a_place_in_which_no_worker_starts_is_given_up(tmp_path, caplog):
    environments = [{}, {"NAS_TEST_DIE": "1"}]
    with caplog.at_level(logging.WARNING), WorkerPool(Mortal(tmp_path / "log", ""), environments) as pool:
        num_jobs = pool.capacity  # Rarely that place is given up before the other one is ready.
        for _ in range(num_jobs):
            pool.submit(JOB)
        assert all(isinstance(take(pool), Measurement) for _ in range(num_jobs))
        assert pool.capacity == 1
        pool.submit(JOB)
        with pytest.raises(RuntimeError, match="all 1 workers are busy"):
            pool.submit(JOB)
        assert isinstance(take(pool), Measurement)
    assert "The others go on without it" in caplog.text


@dataclass(frozen=True)
class Mortal(Faulty):
    """A worker in one place does not start, as on a device that is broken."""

    def __call__(self) -> Evaluate:
        if "NAS_TEST_DIE" in os.environ:
            os._exit(3)
        time.sleep(0.5)
        return self.evaluate


def test_this_process_cannot_be_replaced(tmp_path):
    with InProcessExecutor(Faulty(tmp_path / "log", "device")) as executor:
        executor.submit(JOB)
        with pytest.raises(DeviceLostError, match="Go on with --resume"):
            executor.next_outcome(0)
