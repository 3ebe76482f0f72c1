"""Worker processes: their environment, their death, their end."""

import logging
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from nas.errors import InvalidInputError, WorkerStartError
from nas.evaluation.measurement import Measurement
from nas.execution import (
    Evaluate,
    Job,
    Outcome,
    WorkerPool,
    reserve_timing_gpu,
    visible_gpus,
    worker_environments,
)
from tests.execution.support import FIDELITY, Analytic, is_alive, log_lines, make_space, measure

SPEC = make_space().reference


def job(number: int) -> Job:
    return Job(number, SPEC, FIDELITY, seed=0)


def take(pool: WorkerPool) -> tuple[Job, Outcome]:
    ended = pool.next_outcome(60)
    assert ended is not None
    return ended


@dataclass(frozen=True)
class Curious:
    """Builds evaluators that report on their process through the log and the seed."""

    def __call__(self) -> Evaluate:
        imported = "torch" in sys.modules
        threads = os.environ.get("OMP_NUM_THREADS")

        def evaluate(job: Job) -> Measurement:
            logging.getLogger("tests.worker").info("threads %s, torch imported %s", threads, imported)
            logging.getLogger("tests.worker").debug("too fine")
            os.write(2, b"plain stderr is free\n")
            return measure(job.spec, os.getpid())

        return evaluate


def test_workers_have_their_environment_and_log_to_the_driver(caplog: pytest.LogCaptureFixture) -> None:
    before = dict(os.environ)
    with caplog.at_level(logging.INFO), WorkerPool(Curious(), [{"OMP_NUM_THREADS": "3", "NAS_TEST": "x"}]) as pool:
        pool.submit(job(0))
        ended, outcome = take(pool)
        assert dict(os.environ) == before
    assert ended == job(0)
    assert isinstance(outcome, Measurement)
    assert outcome.seed != os.getpid()
    records = [record for record in caplog.records if record.name == "tests.worker"]
    assert [record.getMessage() for record in records] == ["threads 3, torch imported False"]


def test_jobs_run_at_the_same_time_in_workers_that_persist(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with WorkerPool(Analytic(log, sleep_s=0.05), [{}] * 2) as pool:
        assert pool.capacity == 2
        assert pool.next_outcome(0) is None
        for number in range(2):
            pool.submit(job(number))
        with pytest.raises(RuntimeError, match="busy"):
            pool.submit(job(2))
        seen = set()
        for number in range(2, 8):
            ended, outcome = take(pool)
            assert isinstance(outcome, Measurement)
            seen.add(ended.number)
            pool.submit(job(number))
        seen |= {take(pool)[0].number for _ in range(2)}
    assert seen == set(range(8))
    assert len({pid for _, pid in log_lines(log, "begin")}) == 2


def test_an_idle_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with WorkerPool(Analytic(log), [{}]) as pool:
        pool.submit(job(0))
        take(pool)
        os.kill(log_lines(log, "begin")[0][1], signal.SIGKILL)
        pool.submit(job(1))
        ended, outcome = take(pool)
        # The worker may have been dead before or after it was given the job, which then is its second attempt.
        assert ended == job(1)
        assert isinstance(outcome, Measurement)
        pool.submit(job(2))
        assert isinstance(take(pool)[1], Measurement)


def test_a_worker_that_dies_once_at_start_keeps_its_job(tmp_path: Path) -> None:
    with WorkerPool(Analytic(tmp_path / "log", start_fault="die once"), [{}] * 2) as pool:
        for number in range(2):
            pool.submit(job(number))
        outcomes = [take(pool)[1] for _ in range(2)]
    assert all(isinstance(outcome, Measurement) for outcome in outcomes)


def test_workers_that_cannot_start_end_the_search(tmp_path: Path) -> None:
    with (
        pytest.raises(WorkerStartError, match=r"twice .*exit code 3"),
        WorkerPool(Analytic(tmp_path / "log", start_fault="die"), [{}]),
    ):
        pytest.fail("the pool must not open")


@pytest.mark.parametrize("cancel", [True, False])
def test_close_leaves_no_process_not_even_a_busy_or_stopped_one(
    tmp_path: Path, cancel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.execution.workers._CLOSE_GRACE_S", 0.5)
    log = tmp_path / "log"
    pool = WorkerPool(Analytic(log, sleep_s=600), [{}] * 3)
    with pool:
        for number in range(2):
            pool.submit(job(number))
        while len(log_lines(log, "begin")) < 2:
            assert pool.next_outcome(0.05) is None
        pids = [worker.process.pid for worker in pool._workers]
        os.kill(log_lines(log, "begin")[0][1], signal.SIGSTOP)
        pool.close(cancel=cancel)
        pool.close(cancel=cancel)
    assert len(pids) == 3
    for pid in pids:
        assert pid is not None
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)  # Neither running nor a zombie.


def test_workers_ignore_the_signals_that_the_driver_decides_on(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with WorkerPool(Analytic(log, sleep_s=0.3), [{}]) as pool:
        pool.submit(job(0))
        while not log_lines(log, "begin"):
            assert pool.next_outcome(0.02) is None
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(log_lines(log, "begin")[0][1], number)
        assert isinstance(take(pool)[1], Measurement)


def test_a_pool_left_open_does_not_keep_the_driver_alive(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path\n"
        "from nas.execution import WorkerPool\n"
        "from tests.execution.support import Analytic\n"
        "if __name__ == '__main__':\n"
        f"    WorkerPool(Analytic(Path({str(tmp_path / 'log')!r})), [{{}}]).__enter__()\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    assert subprocess.run([sys.executable, script], env=environment, timeout=60).returncode == 0


@pytest.mark.parametrize(("allowed", "expected"), [(None, ["0", "1"]), ("", ["0", "1"]), ("2, 3", ["2", "3"])])
def test_workers_stay_on_the_gpus_that_this_process_may_use(monkeypatch, allowed, expected):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if allowed is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
    assert visible_gpus(2) == expected


def test_environments() -> None:
    assert worker_environments("cpu", 2) == [{"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}] * 2
    assert worker_environments("cuda", 1) == [{}]
    dealt = [environment["CUDA_VISIBLE_DEVICES"] for environment in worker_environments("cuda", 3, ["4", "7"])]
    assert dealt == ["4", "7", "4"]
    with pytest.raises(InvalidInputError, match="`workers` must be at least 1, got 0"):
        worker_environments("cpu", 0)
    with pytest.raises(InvalidInputError, match="`workers`"):
        WorkerPool(Curious(), [])


def test_every_worker_times_on_the_gpu_that_none_trains_on() -> None:
    training, timing = reserve_timing_gpu(["4", "7", "9"], "cuda:1")
    assert (training, timing) == (["4", "9"], "7")
    dealt = [env["CUDA_VISIBLE_DEVICES"] for env in worker_environments("cuda", 3, training, timing)]
    assert dealt == ["4,7", "9,7", "4,7"]
    assert reserve_timing_gpu(["4", "7"], "cuda") == (["7"], "4")
    for elsewhere in (None, "cpu", "mps:0"):
        assert reserve_timing_gpu(["4", "7"], elsewhere) == (["4", "7"], None)
    # One device, or one that was named: workers see what this process sees, by the same names.
    assert reserve_timing_gpu([], "cuda:1") == ([], None)
    assert worker_environments("cuda", 2, [], None) == [{}] * 2


def test_gpus_can_be_chosen_and_one_of_them_kept_for_timing() -> None:
    gpus = ["4", "7", "9"]
    assert reserve_timing_gpu(gpus, None, (2, 0)) == (["9", "4"], None)
    assert reserve_timing_gpu(gpus, "cuda:1", (0, 1)) == (["4"], "7")
    assert reserve_timing_gpu(gpus, "cuda:1", (2,)) == (["9"], "7")
    assert worker_environments("cuda", 1, ["9"]) == [{"CUDA_VISIBLE_DEVICES": "9"}]
    with pytest.raises(InvalidInputError, match="`timing_device` must be another than the only one to train on"):
        reserve_timing_gpu(gpus, "cuda:2", (2,))


def test_is_alive_knows_the_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not is_alive(child.pid)
    assert is_alive(os.getpid())
