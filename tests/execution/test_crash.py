"""A driver killed at any moment: what was told stays, nothing told is evaluated again, the budget is met exactly."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from nas.execution import InProcessExecutor, recover
from nas.optimization.objectives import PARETO
from nas.optimization.trials import (
    FAIL_REASON,
    INTERRUPTED,
    MEASUREMENT,
    REPEAT_OF,
    candidates,
    describe,
    noise_repeats,
    spec_of,
)
from tests.execution.support import (
    Analytic,
    SamplerMaker,
    ids,
    is_alive,
    log_lines,
    make_space,
    measure,
    open_study,
    search,
    told,
)

BUDGET = 7
SPACE = make_space(max_num_params=20_000, num_references=1, num_layers=(1,))
SAMPLER_SEED = 3
"""Proposes networks that fail, that are outside and that repeat each other within few trials."""


class Fatal(JournalFileBackend):
    """A journal that kills its process in the middle of the given write, counted from 1: before or after its data."""

    def __init__(self, path: Path, write: int, before: bool) -> None:
        super().__init__(str(path))
        self.writes, self.write, self.before = 0, write, before

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self.writes += 1
        if self.before and self.writes == self.write:
            os.kill(os.getpid(), signal.SIGKILL)
        super().append_logs(logs)
        if self.writes == self.write:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make hundreds of journals quick: what a killed process wrote stays, only a power cut would lose it."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)


def search_here(folder: Path, backend: JournalFileBackend) -> None:
    with InProcessExecutor(Analytic(folder / "log", fault="raise")) as executor:
        search(
            open_study(backend=backend),
            executor,
            budget=BUDGET,
            space=SPACE,
            make_sampler=SamplerMaker(SAMPLER_SEED),
            noise_repeats=3,
        )


def killed_at(folder: Path, write: int, before: bool) -> bool:
    """Search in a forked driver that dies at a write; return whether it got that far."""
    pid = os.fork()
    if pid == 0:
        try:
            search_here(folder, Fatal(folder / "journal", write, before))
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def history(study: optuna.Study) -> list[Any]:
    """Return all that a study holds but times."""
    return [(t.number, t.state, t.params, t.values, t.user_attrs) for t in study.trials]


def check_killed_at(folder: Path, write: int, before: bool, whole: list[Any]) -> bool:
    folder.mkdir()
    journal = folder / "journal"
    if not killed_at(folder, write, before):
        return False
    for lock in folder.glob("journal.lock*"):
        lock.unlink()  # Optuna waits for a dead writer's lock for half a minute; see the storage's own tests.
    study = open_study(journal)
    told_before = told(study)
    with_result = {t.user_attrs["arch_id"] for t in study.trials if {MEASUREMENT, FAIL_REASON} & set(t.user_attrs)}
    repeats_before = noise_repeats(study)
    num_evaluated, num_repeated = (len(log_lines(folder / "log", what)) for what in ("begin", "again"))
    search_here(folder, JournalFileBackend(str(journal)))
    study = open_study(journal)
    assert told(study)[: len(told_before)] == told_before
    assert history(study) == whole, f"killed at write {write}"
    again = [arch_id for arch_id, _ in log_lines(folder / "log", "begin")[num_evaluated:]]
    assert not with_result & set(again)
    assert len(log_lines(folder / "log", "begin")) <= BUDGET + 1  # What was under way is evaluated once more.
    repeats = noise_repeats(study)
    assert [done.repeat for done in repeats] == [1, 2, 3]
    assert repeats[: len(repeats_before)] == repeats_before
    assert len(log_lines(folder / "log", "again")) - num_repeated == 3 - len(repeats_before)
    assert not [trial for trial in study.trials if not trial.state.is_finished()]
    return True


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The study of an uninterrupted search; it meets failures, repeats or bounds on the way."""
    folder = tmp_path_factory.mktemp("whole")
    search_here(folder, JournalFileBackend(str(folder / "journal")))
    study = open_study(folder / "journal")
    assert {trial.state for trial in study.trials} == {TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED}
    assert any(REPEAT_OF in trial.user_attrs for trial in study.trials)
    return history(study)


@pytest.mark.parametrize("point", range(20))
def test_resumed_equals_uninterrupted(tmp_path: Path, whole: list[Any], point: int) -> None:
    """Killed at twenty writes from the first to the last trial."""
    rng = random.Random(point)
    write = 3 + point * 3 // 2 + rng.randrange(2)
    assert check_killed_at(tmp_path / "run", write, rng.random() < 0.5, whole)


@pytest.mark.slow
def test_resumed_equals_uninterrupted_wherever_it_was_killed(tmp_path: Path, whole: list[Any]) -> None:
    """Killed at every single write of the journal: there is no other moment that matters to it."""
    points = 0
    for write in range(2, 1000):
        for before in (True, False):
            if not check_killed_at(tmp_path / f"{write} {before}", write, before, whole):
                assert points > 60
                return
            points += 1
    pytest.fail("the search never ended")


def start_driver(folder: Path, budget: int, workers: int, sleep_s: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.execution.driver", str(folder), str(budget), str(workers), str(sleep_s)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def kill_and_resume(tmp_path: Path, kills: int, budget: int, sleep_s: float) -> None:
    rng, log = random.Random(0), tmp_path / "log"
    pids: set[int] = set()
    for _ in range(kills):
        begun = len(log_lines(log, "begin"))
        with start_driver(tmp_path, budget, 2, sleep_s) as driver:
            while len(log_lines(log, "begin")) < begun + 2:
                assert driver.poll() is None
                time.sleep(0.02)
            time.sleep(rng.uniform(0, 3 * sleep_s))
            driver.kill()
        pids |= {pid for _, pid in log_lines(log, "begin")}
        deadline = time.monotonic() + 20
        while any(is_alive(pid) for pid in pids):
            assert time.monotonic() < deadline, "an orphan is left"
            time.sleep(0.02)
        for lock in tmp_path.glob("journal.lock*"):
            lock.unlink()
        begun_by_now = log_lines(log, "begin")
        told_by_now = told(open_study(tmp_path / "journal"))
        assert len(told_by_now) < budget
    with start_driver(tmp_path, budget, 2, 0.0) as driver:
        out, _ = driver.communicate(timeout=60)
    assert json.loads(out) == {"num_candidates": budget, "interrupted": False, "exhausted": False}
    study = open_study(tmp_path / "journal")
    assert len(candidates(study)) == len(set(ids(candidates(study)))) == budget
    after = {arch_id for arch_id, _ in log_lines(log, "begin")[len(begun_by_now) :]}
    assert not after & {arch_id for arch_id, _, _ in told_by_now}
    assert all(entry in told(study) for entry in told_by_now)
    assert {arch_id for arch_id, _ in log_lines(log, "end")} == set(ids(candidates(study)))
    assert [done.repeat for done in noise_repeats(study)] == [1, 2, 3]


def test_killed_in_the_middle_of_jobs_leaves_no_orphans_and_resumes(tmp_path: Path) -> None:
    kill_and_resume(tmp_path, kills=2, budget=25, sleep_s=0.1)


@pytest.mark.slow
def test_killed_a_hundred_times_in_the_middle_of_jobs(tmp_path: Path) -> None:
    kill_and_resume(tmp_path, kills=100, budget=300, sleep_s=0.02)


def test_workers_end_with_the_driver_in_the_middle_of_a_long_job(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with start_driver(tmp_path, 5, 2, 600) as driver:
        while len(log_lines(log, "begin")) < 2:
            assert driver.poll() is None
            time.sleep(0.02)
        driver.kill()
    deadline = time.monotonic() + 20
    while any(is_alive(pid) for _, pid in log_lines(log, "begin")):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_recover_lets_trials_wait_where_they_were() -> None:
    study, space = open_study(), make_space()
    trial = study.ask()
    describe(trial, space.suggest(trial))
    study.enqueue_trial(space.references["reference 1"])
    study.ask()
    study.ask()  # Killed before the sampler had chosen anything.
    for _ in range(2):
        recover(study, space, PARETO)
        assert [t.state for t in study.trials] == [TrialState.WAITING, TrialState.WAITING, TrialState.FAIL]
        assert INTERRUPTED in study.trials[2].user_attrs
        assert study.trials[0].params == trial.params
        assert spec_of(study.trials[1]) == space.reference
    assert candidates(study) == []


def test_recover_tells_what_is_on_record() -> None:
    study, space = open_study(), make_space()
    measured, failed = study.ask(), study.ask()
    for trial in (measured, failed):
        describe(trial, space.suggest(trial))
    measurement = measure(space.decode(measured.params))
    measured.set_user_attr(MEASUREMENT, measurement.to_dict())
    failed.set_user_attr(FAIL_REASON, "error: of some kind")
    recover(study, space, PARETO)
    assert [t.state for t in study.trials] == [TrialState.COMPLETE, TrialState.FAIL]
    assert study.trials[0].values == PARETO.values(measurement)
    assert len(candidates(study)) == 2


def test_recover_leaves_a_study_in_order_alone() -> None:
    study, space = open_study(), make_space()
    study.enqueue_trial(space.references["reference 1"])
    recover(study, space, PARETO)
    assert [t.state for t in study.trials] == [TrialState.WAITING]
    assert not any(REPEAT_OF in t.user_attrs for t in study.trials)
