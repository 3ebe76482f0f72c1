"""Jobs in the actors of a real Ray cluster on this machine: what any executor does, and what becomes of lost actors."""

import logging
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("ray")

from nas.data import Dataset, load_dataset
from nas.errors import InvalidInputError, WorkerStartError
from nas.evaluation.measurement import Measurement
from nas.execution import Evaluate, Failure, Job, Outcome
from nas.execution.events import Finished
from nas.execution.ray_cluster import RayCluster, SharedDataset
from nas.execution.ray_executor import RayExecutor
from nas.optimization.trials import candidates
from tests.execution.support import (
    FIDELITY,
    Analytic,
    is_alive,
    log_lines,
    make_space,
    measure,
    open_study,
    search,
    told,
)

pytestmark = pytest.mark.slow

SPEC = make_space().reference


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with RayCluster("local", num_workers=3) as cluster:
        yield cluster


def job(number: int) -> Job:
    return Job(number, SPEC, FIDELITY, seed=0)


def take(executor: RayExecutor) -> tuple[Job, Outcome]:
    ended = executor.next_outcome(60)
    assert ended is not None
    return ended


def wait_for(condition: Callable[[], bool], executor: RayExecutor | None = None) -> None:
    """Wait until something is so, up to a minute, while an executor does its work."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        if executor is None:
            time.sleep(0.05)
        else:
            assert executor.next_outcome(0.05) is None


def test_a_search_meets_its_budget_and_evaluates_nothing_twice(cluster: RayCluster, tmp_path: Path) -> None:
    study = open_study()
    with RayExecutor(cluster, Analytic(tmp_path / "log", sleep_s=0.05)) as executor:
        assert search(study, executor, budget=40) == Finished(40, interrupted=False, exhausted=False)
    evaluated = [arch_id for arch_id, _ in log_lines(tmp_path / "log", "end")]
    assert len(evaluated) == len(set(evaluated)) == len(candidates(study)) == 40
    assert len({pid for _, pid in log_lines(tmp_path / "log", "begin")}) == 3


def test_one_worker_proposes_what_any_executor_does(cluster: RayCluster, tmp_path: Path) -> None:
    from nas.execution import InProcessExecutor

    here, there = open_study(), open_study()
    with InProcessExecutor(Analytic(tmp_path / "here")) as executor:
        search(here, executor, budget=20)
    with RayExecutor(cluster, Analytic(tmp_path / "there"), num_workers=1) as ray_executor:
        assert ray_executor.capacity == 1
        search(there, ray_executor, budget=20)
        assert ray_executor.capacity == 1
    assert told(here) == told(there)


@dataclass(frozen=True)
class Talkative:
    def __call__(self) -> Evaluate:
        logging.getLogger("tests.worker").info("threads %s", os.environ.get("OMP_NUM_THREADS"))

        def evaluate(job: Job) -> Measurement:
            logging.getLogger("tests.worker").info("job %d", job.number)
            logging.getLogger("tests.worker").debug("too fine")
            print("plain output stays in Ray's files")
            return measure(job.spec, os.getpid())

        return evaluate


def test_workers_log_to_the_driver_and_ray_is_quiet(
    cluster: RayCluster, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO), RayExecutor(cluster, Talkative(), num_workers=1) as executor:
        executor.submit(job(0))
        _, outcome = take(executor)
    assert isinstance(outcome, Measurement)
    assert outcome.seed != os.getpid()
    records = [record.getMessage() for record in caplog.records if record.name == "tests.worker"]
    assert records == ["threads 1", "job 0"]
    assert capfd.readouterr() == ("", "")


def test_a_job_that_loses_its_actor_goes_to_another_once(cluster: RayCluster, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with RayExecutor(cluster, Analytic(log, sleep_s=600), num_workers=1) as executor:
        executor.submit(job(0))
        for number in range(2):
            wait_for(lambda number=number: len(log_lines(log, "begin")) > number, executor)
            os.kill(log_lines(log, "begin")[number][1], signal.SIGKILL)
        assert take(executor) == (job(0), Failure("worker died", "worker died: its process ended, 2 attempts"))
        executor.submit(job(1))
        wait_for(lambda: len(log_lines(log, "begin")) == 3, executor)
    pids = {pid for _, pid in log_lines(log, "begin")}
    assert len(pids) == 3
    wait_for(lambda: not any(map(is_alive, pids)))


def test_a_job_that_hangs_goes_to_another_actor_once(cluster: RayCluster, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with RayExecutor(cluster, Analytic(log, sleep_s=600), num_workers=1, timeout_s=2) as executor:
        executor.submit(job(0))
        ended, outcome = take(executor)
    assert ended.number == 0
    assert isinstance(outcome, Failure)
    assert outcome.kind == "timed out"
    assert re.fullmatch(r"timed out: no result after \d+ s, 2 attempts", outcome.reason)
    pids = {pid for _, pid in log_lines(log, "begin")}
    assert len(pids) == 2
    wait_for(lambda: not any(map(is_alive, pids)))


@dataclass(frozen=True)
class Poisoned:
    """Builds evaluators whose process has lost its device, the first time."""

    log: Path

    def __call__(self) -> Evaluate:
        first = not self.log.exists()
        self.log.touch()

        def evaluate(job: Job) -> Measurement:
            import torch

            if first:
                raise torch.AcceleratorError("CUDA error: device-side assert triggered")
            return measure(job.spec)

        return evaluate


def test_an_actor_that_lost_its_device_is_replaced(cluster: RayCluster, tmp_path: Path) -> None:
    with RayExecutor(cluster, Poisoned(tmp_path / "log"), num_workers=1) as executor:
        for number, attempts in ((0, 2), (1, 1)):
            executor.submit(job(number))
            ended, outcome = take(executor)
            assert ended == job(number)
            assert isinstance(outcome, Measurement)
            assert outcome.num_attempts == attempts


def test_a_candidate_that_kills_its_actor_fails_and_others_do_not(cluster: RayCluster, tmp_path: Path) -> None:
    study = open_study()
    with RayExecutor(cluster, Analytic(tmp_path / "log", fault="exit")) as executor:
        assert search(study, executor, budget=12).num_candidates == 12
    states = {trial.state.name for trial in candidates(study)}
    assert states == {"COMPLETE", "FAIL"}


@pytest.mark.parametrize("cancel", [True, False])
def test_close_leaves_no_actor(cluster: RayCluster, tmp_path: Path, cancel: bool) -> None:
    log = tmp_path / "log"
    with RayExecutor(cluster, Analytic(log, sleep_s=600)) as executor:
        wait_for(lambda: executor.capacity == 3, executor)
        for number in range(2):
            executor.submit(job(number))
        wait_for(lambda: len(log_lines(log, "begin")) == 2, executor)
        executor.close(cancel=cancel)
        executor.close(cancel=cancel)
    wait_for(lambda: not any(is_alive(pid) for _, pid in log_lines(log, "begin")))


def test_what_the_user_must_correct_is_said_before_any_job(cluster: RayCluster, tmp_path: Path) -> None:
    with (
        pytest.raises(InvalidInputError, match="`data` must be readable"),
        RayExecutor(cluster, Analytic(tmp_path / "log", start_fault="invalid")),
    ):
        pytest.fail("the executor must not open")


@dataclass(frozen=True)
class Broken:
    def __call__(self) -> Evaluate:
        raise ModuleNotFoundError("No module named 'torch'")


def test_workers_that_cannot_start_end_the_search(cluster: RayCluster, tmp_path: Path) -> None:
    for factory, message in (
        (Analytic(tmp_path / "log", start_fault="die"), "because its process ended"),
        (Broken(), "because of ModuleNotFoundError: No module named 'torch'"),
    ):
        with pytest.raises(WorkerStartError, match=message), RayExecutor(cluster, factory):
            pytest.fail("the executor must not open")


@dataclass(frozen=True)
class Seeing:
    """Builds evaluators that say in the log what data they see."""

    fetch: SharedDataset

    def __call__(self) -> Evaluate:
        dataset = self.fetch()

        def evaluate(job: Job) -> Measurement:
            sums = [int(part.images.sum()) + int(part.labels.sum()) for part in (dataset.train, dataset.val)]
            shared = dataset.train.images.untyped_storage().data_ptr()
            maps = Path("/proc/self/maps").read_text().splitlines()
            spans = [(line.split()[0].split("-"), line) for line in maps]
            (where,) = [line for (low, high), line in spans if int(low, 16) <= shared < int(high, 16)]
            logging.getLogger("tests.worker").warning("%s %s %s", dataset.fingerprint, sums, "plasma" in where)
            return measure(job.spec)

        return evaluate


def test_workers_share_the_bytes_of_the_data_set(cluster: RayCluster, caplog: pytest.LogCaptureFixture) -> None:
    dataset: Dataset = load_dataset("fashion-hard", val_images=100)
    with RayExecutor(cluster, Seeing(cluster.share(dataset)), num_workers=2) as executor:
        wait_for(lambda: executor.capacity == 2, executor)
        for number in range(2):
            executor.submit(job(number))
        assert all(isinstance(take(executor)[1], Measurement) for _ in range(2))
    sums = [int(part.images.sum()) + int(part.labels.sum()) for part in (dataset.train, dataset.val)]
    records = [record.getMessage() for record in caplog.records if record.name == "tests.worker"]
    assert records == [f"{dataset.fingerprint} {sums} True"] * 2


def test_the_local_cluster_listens_on_this_machine_alone(cluster: RayCluster) -> None:
    import ray

    assert {node["NodeManagerAddress"] for node in ray.nodes()} == {"127.0.0.1"}  # type: ignore[no-untyped-call]
