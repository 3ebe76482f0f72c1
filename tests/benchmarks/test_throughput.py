"""What the driver costs: how long a worker waits between its jobs, and how many workers one driver keeps busy.

    python -m pytest tests/benchmarks/test_throughput.py -m benchmark -s

Workers are simulated: a job takes its time on the clock and none of the processor's, so that what is measured is the
driver alone (proposals, storage, tables are real). Only the last test has real workers that train, and wants a machine
with two quiet cores.
"""

import heapq
import os
import random
import time
from pathlib import Path

import numpy as np
import optuna
import pytest

from nas.evaluation.fidelity import Fidelity
from nas.evaluation.job import Job
from nas.execution import search_loop
from nas.execution.events import Event, Opened
from nas.execution.job import Outcome
from nas.optimization.objectives import PARETO
from nas.optimization.samplers import DEFAULT_SAMPLER, make_sampler
from nas.optimization.stopping import make_stopping
from nas.optimization.storage.journal import open_journal
from search_spaces.efficientnet_v2_tiny import space
from tests.execution.support import measure
from tests.running import start

pytestmark = pytest.mark.benchmark


class Simulated:
    """An executor whose workers do nothing for `seconds` a job, half as long to half as long again.

    Attributes:
        waits: Seconds from the end of a worker's job to its next one, for every job but the first ones.
        worked: Seconds of all jobs but those.
    """

    def __init__(self, capacity: int, seconds: float) -> None:
        self.capacity, self.seconds = capacity, seconds
        self.waits: list[float] = []
        self.worked = 0.0
        self._busy: list[tuple[float, int, Job]] = []
        self._free: list[float] = []

    def submit(self, job: Job) -> None:
        now, seconds = time.monotonic(), self.seconds * (0.5 + random.Random(job.number).random())
        if self._free:
            self.waits.append(now - self._free.pop(0))
            self.worked += seconds
        heapq.heappush(self._busy, (now + seconds, job.number, job))

    def next_outcome(self, timeout: float) -> tuple[Job, Outcome] | None:
        now = time.monotonic()
        if not self._busy or self._busy[0][0] > now + timeout:
            time.sleep(timeout)
            return None
        end, _, job = heapq.heappop(self._busy)
        time.sleep(max(0.0, end - now))
        self._free.append(end)
        return job, measure(job.spec, job.seed)

    def close(self, cancel: bool) -> None:
        pass

    def __enter__(self) -> "Simulated":
        return self

    def __exit__(self, *ending: object) -> None:
        pass


def search(study: optuna.Study, workers: Simulated, budget: int, sampler: str) -> float:
    """Search up to a budget; return the seconds that it took after what the study holds had been read."""
    began = 0.0

    def on_event(event: Event) -> None:
        nonlocal began
        if isinstance(event, Opened):
            began = time.monotonic()

    def sampler_of(number: int) -> optuna.samplers.BaseSampler:
        return make_sampler(sampler, space=space, seed=0, trial_number=number, budget=1000, objective=PARETO)

    search_loop(
        study,
        space,
        budget=budget,
        objective=PARETO,
        executor=workers,
        make_sampler=sampler_of,
        fidelity=Fidelity(100, 1),
        seed=0,
        warm_start=False,
        on_event=on_event,
        stopping=make_stopping("dominated", objective=PARETO),
    )
    return time.monotonic() - began


def study_of(path: Path, num_trials: int, monkeypatch: pytest.MonkeyPatch) -> optuna.Study:
    """Return a study of random candidates in a journal."""
    study = optuna.create_study(storage=open_journal(path), study_name="s", directions=list(PARETO.directions))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)  # It would take minutes.
        search(study, Simulated(16, 0.0), num_trials, "random")
    return optuna.load_study(study_name="s", storage=open_journal(path))


@pytest.mark.parametrize("sampler", ["random", DEFAULT_SAMPLER])
def test_a_worker_waits_for_at_most_a_hundredth_of_a_trial_of_5_s_at_1000_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: str
) -> None:
    study = study_of(tmp_path / "journal", 1000, monkeypatch)
    workers = Simulated(1, 5.0)
    search(study, workers, 1012, sampler)
    waits = np.array(workers.waits) * 1e3
    print(f"\n{sampler}: a worker waits {np.median(waits):.1f} ms between jobs (median; longest {waits.max():.1f} ms)")
    assert np.median(waits) <= 50


def test_a_trial_costs_at_most_50_ms_at_10000_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = study_of(tmp_path / "journal", 10_000, monkeypatch)
    trials = 100
    seconds = search(study, Simulated(1, 0.0), 10_000 + trials, "random")
    print(f"\na trial costs {seconds / trials * 1e3:.1f} ms")
    assert seconds / trials <= 0.05


def test_sixteen_workers_do_the_work_of_fifteen_and_a_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = study_of(tmp_path / "journal", 10, monkeypatch)
    workers = Simulated(16, 5.0)
    search(study, workers, 10 + 16 * 6, DEFAULT_SAMPLER)
    worth = 16 * workers.worked / (workers.worked + sum(workers.waits))
    print(f"\n16 workers are worth {worth:.2f}")
    assert worth >= 15.5


def test_two_real_workers_are_worth_1_8(tmp_path: Path) -> None:
    """At the default fidelity, the same candidates and none stopped early. Wants two quiet cores."""
    pace = {}
    for workers in (1, 2):
        args = ["--budget", 16, "--workers", workers, "--device", "cpu", "--sampler", "random"]
        args += ["--stopping", "none", "--noise-repeats", 0]  # Repeats come when they come, and are no trials.
        with start("-m", "nas.search", *args, "--out", tmp_path / str(workers)) as driver:
            first = None
            for line in driver.stderr:  # type: ignore[union-attr]
                if line.startswith("[ 4/16]"):  # Workers have started, and the reference has been timed.
                    first = time.monotonic()
                if line.startswith("[16/16]"):
                    break
            assert first is not None
            pace[workers] = 12 / (time.monotonic() - first)
    print(f"\n{pace[1] * 60:.1f} and {pace[2] * 60:.1f} trials a minute: {pace[2] / pace[1]:.2f} times")
    assert pace[2] / pace[1] >= 1.8
