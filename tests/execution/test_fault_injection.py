"""Searches in which drivers and workers are killed at random moments, networks hang and take all memory.

Nothing that was told is lost or evaluated again, the budget is met exactly, nothing hangs and no process is left.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from optuna.trial import FrozenTrial, TrialState

from nas.execution.signals import GRACE_S
from nas.optimization.trials import ARCH_ID, FAIL_REASON, candidates, spec_of
from tests.execution.support import MARKED, ids, is_alive, log_lines, open_study, told

RUNS, BUDGET, WORKERS = 100, 10, 2
SLEEP_S = 0.1
FAULTS = ("", "", "hang", "take memory")
REASONS = {"hang": "timed out: ", "take memory": "out of memory: MemoryError"}
PATIENCE_S = 120
"""Beyond this on a busy machine, a search hangs."""

Told = tuple[str, str, list[float] | None]
Snapshot = tuple[list[Told], int]
"""What was told at some moment, and how many evaluations had begun."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc, and limits on memory"),
]


def start(folder: Path, fault: str) -> subprocess.Popen[str]:
    words = [folder, BUDGET, WORKERS, SLEEP_S, GRACE_S, fault]
    command = [sys.executable, "-m", "tests.execution.driver", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def children(pid: int) -> list[int]:
    """Return the processes that a process has started, workers among them, or none if it has ended."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def workers(driver: int) -> list[int]:
    def is_worker(pid: int) -> bool:
        try:
            return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return False

    return [pid for pid in children(driver) if is_worker(pid)]


def wait_until(condition, what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def strike(driver: subprocess.Popen[str], log: Path, rng: random.Random) -> str:
    """Kill the driver or one of its workers at a random moment; return which, or "" if the search was faster."""
    more = rng.randrange(BUDGET // 2)
    begun = len(log_lines(log, "begin")) + more
    wait_until(lambda: driver.poll() is not None or len(log_lines(log, "begin")) >= begun, "the search hangs")
    time.sleep(rng.uniform(0, SLEEP_S if more else 1.5))  # Processes take about so long to start.
    victim = rng.choice(["driver", "worker"])
    if driver.poll() is not None:
        return ""
    if victim == "driver":
        driver.kill()
        return victim
    found = workers(driver.pid)
    if not found:
        return ""
    os.kill(rng.choice(found), signal.SIGKILL)
    return victim


def run_with_faults(folder: Path, seed: int) -> Counter[str]:
    """Search with one to three kills until the budget is met; return who was killed how often."""
    rng, log = random.Random(seed), folder / "log"
    fault, killed = rng.choice(FAULTS), Counter[str]()
    snapshots: list[Snapshot] = []
    driver = start(folder, fault)
    for _ in range(rng.randint(1, 3)):
        victim = strike(driver, log, rng)
        killed[victim] += 1
        if victim == "driver":
            driver.communicate()
            wait_for_workers_to_end(log)
            for lock in folder.glob("journal.lock*"):
                lock.unlink()  # Optuna waits for a dead writer's lock for half a minute; see the storage's own tests.
            snapshots.append((told(open_study(folder / "journal")), len(log_lines(log, "begin"))))
            driver = start(folder, fault)
    out, err = driver.communicate(timeout=PATIENCE_S)
    assert driver.returncode == 0, err
    assert json.loads(out) == {"num_candidates": BUDGET, "interrupted": False, "exhausted": False}
    wait_for_workers_to_end(log)
    for before, begun in snapshots:
        check_nothing_is_lost(folder, before, begun)
    check_end(folder, fault, killed)
    return killed


def wait_for_workers_to_end(log: Path) -> None:
    pids = {pid for _, pid in log_lines(log, "begin")}
    wait_until(lambda: not any(map(is_alive, pids)), "an orphan is left")


def check_nothing_is_lost(folder: Path, before: list[Told], begun: int) -> None:
    """Check what was told when a driver was killed against what is there in the end."""
    after = told(open_study(folder / "journal"))
    assert all(entry in after for entry in before)
    again = {arch_id for arch_id, _ in log_lines(folder / "log", "begin")[begun:]}
    assert not again & {arch_id for arch_id, _, _ in before}


def check_end(folder: Path, fault: str, killed: Counter[str]) -> None:
    trials = open_study(folder / "journal").trials
    found = candidates(open_study(folder / "journal"))
    assert len(found) == len(set(ids(found))) == BUDGET
    assert all(trial.state.is_finished() or trial.state == TrialState.WAITING for trial in trials)
    ended = Counter(arch_id for arch_id, _ in log_lines(folder / "log", "end"))
    for trial in found:
        reason = trial.user_attrs.get(FAIL_REASON, "")
        if has_fault(trial, fault):
            assert reason.startswith((REASONS[fault], "worker died"))
        elif killed["worker"] >= 2 and reason == "worker died (signal 9), 2 attempts":
            assert trial.state == TrialState.FAIL  # Both of its attempts were on a worker that was killed.
        else:
            assert trial.state == TrialState.COMPLETE, trial.user_attrs
            # An evaluation is lost, and done again, only where its end came between the last tell and the kill.
            assert 1 <= ended[trial.user_attrs[ARCH_ID]] <= 1 + killed["driver"] + killed["worker"]


def has_fault(trial: FrozenTrial, fault: str) -> bool:
    return fault in REASONS and spec_of(trial).stages[0].out_channels == MARKED


@pytest.mark.parametrize("tens", range(RUNS // 10))
def test_nothing_is_lost_doubled_hung_or_left(tmp_path: Path, tens: int) -> None:
    killed = Counter[str]()
    for seed in range(10 * tens, 10 * tens + 10):
        folder = tmp_path / str(seed)
        folder.mkdir()
        killed += run_with_faults(folder, seed)
    assert killed["driver"] + killed["worker"] >= 10
