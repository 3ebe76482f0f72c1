"""Ctrl-C and SIGTERM, sent for real to a driver and its workers as a terminal or a job scheduler sends them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from optuna.trial import TrialState

from nas.execution.signals import GRACE_S, StopSignals
from nas.optimization.trials import candidates
from tests.execution.support import ids, is_alive, log_lines, open_study

WORKERS = 2
BUDGET = 10


def start(folder: Path, sleep_s: float, grace_s: float = GRACE_S, workers: int = WORKERS) -> subprocess.Popen[str]:
    """Start a driver in a process group of its own and wait until its workers are in their first jobs."""
    command = [sys.executable, "-m", "tests.execution.driver", folder, BUDGET, workers, sleep_s, grace_s]
    driver = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True, start_new_session=True)
    while len(log_lines(folder / "log", "begin")) < max(1, workers):
        assert driver.poll() is None
        time.sleep(0.02)
    return driver


def resume(folder: Path) -> None:
    command = [sys.executable, "-m", "tests.execution.driver", str(folder), str(BUDGET), str(WORKERS), "0"]
    out = subprocess.run(command, stdout=subprocess.PIPE, timeout=60, check=True).stdout
    assert json.loads(out) == {"num_candidates": BUDGET, "interrupted": False, "exhausted": False}
    study = open_study(folder / "journal")
    assert len(set(ids(candidates(study)))) == len(candidates(study)) == BUDGET


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1])
def test_once_awaits_the_running_jobs(tmp_path: Path, number: signal.Signals) -> None:
    with start(tmp_path, sleep_s=0.7) as driver:
        os.killpg(driver.pid, number)
        out, _ = driver.communicate(timeout=60)
    assert driver.returncode == 0
    finished = json.loads(out)
    assert finished["interrupted"]
    study = open_study(tmp_path / "journal")
    begun, ended = log_lines(tmp_path / "log", "begin"), log_lines(tmp_path / "log", "end")
    assert sorted(begun) == sorted(ended)
    assert len(begun) < BUDGET
    assert sorted(ids(candidates(study))) == sorted(arch_id for arch_id, _ in ended)
    assert finished["num_candidates"] == len(candidates(study))
    assert {trial.state for trial in candidates(study)} == {TrialState.COMPLETE}
    assert not [trial for trial in study.trials if trial.state == TrialState.RUNNING]
    resume(tmp_path)


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_twice_cancels_them_and_queues_them_again(tmp_path: Path, second: signal.Signals) -> None:
    with start(tmp_path, sleep_s=600) as driver:
        os.killpg(driver.pid, signal.SIGINT)
        time.sleep(0.2)
        os.killpg(driver.pid, second)
        out, _ = driver.communicate(timeout=60)
    assert driver.returncode == 0
    assert json.loads(out) == {"num_candidates": 0, "interrupted": True, "exhausted": False}
    assert not any(is_alive(pid) for _, pid in log_lines(tmp_path / "log", "begin"))
    states = [trial.state for trial in open_study(tmp_path / "journal").trials]
    assert states.count(TrialState.WAITING) in (WORKERS, WORKERS + 1)  # One proposal is made ahead.
    assert TrialState.RUNNING not in states
    begun = {arch_id for arch_id, _ in log_lines(tmp_path / "log", "begin")}
    resume(tmp_path)
    evaluated = [arch_id for arch_id, _ in log_lines(tmp_path / "log", "end")]
    assert begun <= set(evaluated)
    assert len(evaluated) == len(set(evaluated)) == BUDGET


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGTERM, WORKERS), (signal.SIGUSR1, 0)])
def test_what_takes_longer_than_grace_is_queued_again(tmp_path: Path, number: signal.Signals, workers: int) -> None:
    with start(tmp_path, sleep_s=600, grace_s=0.3, workers=workers) as driver:
        os.killpg(driver.pid, number)
        out, _ = driver.communicate(timeout=60)
    assert driver.returncode == 0
    assert json.loads(out) == {"num_candidates": 0, "interrupted": True, "exhausted": False}
    assert not any(is_alive(pid) for _, pid in log_lines(tmp_path / "log", "begin"))
    states = [trial.state for trial in open_study(tmp_path / "journal").trials]
    assert (states.count(TrialState.WAITING) >= max(1, workers), TrialState.RUNNING in states) == (True, False)


def test_ctrl_c_has_no_deadline() -> None:
    with StopSignals(grace_s=0.001) as signals:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        with signals.cancellable():
            assert signals.stop_requested
    with StopSignals(grace_s=0.001) as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        with pytest.raises(KeyboardInterrupt), signals.cancellable():
            pytest.fail("grace has ended")
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_second_signal_only_interrupts_where_that_is_allowed() -> None:
    before = signal.getsignal(signal.SIGINT)
    with StopSignals() as signals:
        assert not signals.stop_requested
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        assert signals.stop_requested
        with pytest.raises(KeyboardInterrupt), signals.cancellable():
            pytest.fail("a second signal has already come")
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGINT) is before
