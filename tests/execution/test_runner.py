"""Everything that can go wrong in a job becomes one line, and one traceback in the log."""

import logging

import pytest
import torch

from nas.errors import DivergedError
from nas.evaluation.job import Job
from nas.evaluation.measurement import Measurement
from nas.execution.job import Failure
from nas.execution.runner import run_job
from tests.execution.support import FIDELITY, make_space, measure

JOB = Job(7, make_space().reference, FIDELITY, seed=3)


def test_returns_what_was_measured() -> None:
    assert run_job(lambda job: measure(job.spec, job.seed), JOB) == measure(JOB.spec, 3)


def too_much_memory(job: Job) -> Measurement:
    torch.empty(10**15)
    raise AssertionError


def gpu_full(job: Job) -> Measurement:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def diverged(job: Job) -> Measurement:
    raise DivergedError("training loss is inf at step 3 of 10")


def long_message(job: Job) -> Measurement:
    raise RuntimeError("many\nlines\n" * 1000)


@pytest.mark.parametrize(
    ("evaluate", "kind", "start"),
    [
        (too_much_memory, "out of memory", "out of memory: RuntimeError: [enforce fail"),
        (gpu_full, "out of memory", "out of memory: OutOfMemoryError: CUDA out of memory."),
        (diverged, "diverged", "diverged: DivergedError: training loss is inf at step 3 of 10 (test_runner.py:"),
        (long_message, "error", "error: RuntimeError: many lines many lines"),
    ],
)
def test_an_exception_becomes_one_line(evaluate, kind: str, start: str) -> None:  # type: ignore[no-untyped-def]
    failure = run_job(evaluate, JOB)
    assert isinstance(failure, Failure)
    assert failure.kind == kind
    assert failure.reason.startswith(start)
    assert "\n" not in failure.reason
    assert len(failure.reason) < 400
    assert "(test_runner.py:" in failure.reason


def test_the_traceback_goes_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        run_job(long_message, JOB)
    assert "Trial 7 failed. error: RuntimeError" in caplog.text
    assert "in long_message" in caplog.text


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_process_passes_through(error: type[BaseException]) -> None:
    def evaluate(job: Job) -> Measurement:
        raise error

    with pytest.raises(error):
        run_job(evaluate, JOB)
