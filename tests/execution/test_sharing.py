"""Several drivers of one study, each in a process of its own: one budget, nothing evaluated twice, none missed."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from nas.optimization.storage.opening import open_storage
from nas.optimization.trials import DRIVER, candidates, noise_repeats
from tests.execution.support import ids, log_lines

TIMEOUT_S = 10.0  # A driver that a busy machine holds up for less is not taken for dead.


def start(folder: Path, url: str, budget: int, workers: int, sleep_s: float) -> subprocess.Popen[str]:
    words = [str(folder), url, str(budget), str(workers), str(sleep_s), str(TIMEOUT_S)]
    command = [sys.executable, "-m", "tests.execution.sharing_driver", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def shared_study(url: str) -> optuna.Study:
    return optuna.load_study(study_name="shared", storage=open_storage(url, 10))


def end_of(driver: subprocess.Popen[str]) -> dict[str, object]:
    out, err = driver.communicate(timeout=120)
    assert driver.returncode == 0, err
    return json.loads(out)  # type: ignore[no-any-return]


def check_met(folder: Path, url: str, budget: int, extra_begun: int = 0) -> optuna.Study:
    """The budget is met exactly, no network was evaluated twice but those that a kill cut off."""
    study = shared_study(url)
    found = candidates(study)
    assert len(found) == len(set(ids(found))) == budget
    ended = [arch_id for arch_id, _ in log_lines(folder / "log", "end")]
    assert len(ended) <= budget + extra_begun
    assert set(ended) == set(ids(found))
    assert len(log_lines(folder / "log", "begin")) <= budget + extra_begun
    assert [done.repeat for done in noise_repeats(study)] == [1, 2, 3]
    assert {t.state for t in study.trials} <= {TrialState.COMPLETE, TrialState.FAIL, TrialState.WAITING}
    return study


def share_and_kill(folder: Path, url: str, budget: int, sleep_s: float) -> None:
    """Two drivers; one is killed in the middle and started again."""
    first = start(folder, url, budget, 1, sleep_s)
    second = start(folder, url, budget, 1, sleep_s)
    deadline = time.monotonic() + 120
    while len(log_lines(folder / "log", "end")) < budget // 3:
        assert time.monotonic() < deadline
        assert first.poll() is None, end_of(first)
        time.sleep(0.02)
    second.send_signal(signal.SIGKILL)
    second.communicate()
    told_before = {t.number: t.values for t in candidates(shared_study(url))}
    second = start(folder, url, budget, 1, sleep_s)
    whole = {"num_candidates": budget, "interrupted": False, "exhausted": False}
    assert end_of(first) == end_of(second) == whole
    study = check_met(folder, url, budget, extra_begun=2)
    assert {number: study.trials[number].values for number in told_before} == told_before
    assert len({t.user_attrs[DRIVER] for t in candidates(study)}) >= 2


def test_two_drivers_meet_one_budget(tmp_path: Path) -> None:
    url = f"journal://{tmp_path / 'journal'}"
    drivers = [start(tmp_path, url, 12, 0, 0.1) for _ in range(2)]
    assert [end_of(driver)["num_candidates"] for driver in drivers] == [12, 12]
    check_met(tmp_path, url, 12)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_a_driver_killed_and_started_again_over_a_file(tmp_path: Path, kind: str) -> None:
    share_and_kill(tmp_path, f"{kind}://{'/' if kind == 'sqlite' else ''}{tmp_path / 'study'}", 60, 0.2)


@pytest.mark.slow
def test_a_driver_killed_and_started_again_over_postgresql(tmp_path: Path, postgres: str) -> None:
    share_and_kill(tmp_path, postgres, 60, 0.2)
