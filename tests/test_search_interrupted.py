"""A search that is killed or interrupted while it trains real candidates, and goes on."""

import json
import re
import signal
import time
from pathlib import Path

import pandas as pd
import pytest
from optuna.trial import TrialState

import nas.results
from nas.optimization.trials import ARCH_ID, candidates
from nas.results.folder import RunFolder
from nas.search import main
from tests.execution.support import is_alive
from tests.running import exit_code, start
from tests.stripes import COMMON, write_stripes


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_stripes(tmp_path_factory.mktemp("stripes"), 150)


def children(pid):
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for_line(driver, pattern):
    for line in driver.stderr:
        if re.search(pattern, line):
            return
    pytest.fail(f"the search ended with {driver.wait()} before {pattern}")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
def test_killed_in_the_middle_of_trials_and_resumed(data, tmp_path, capsys):
    run_path, budget = tmp_path / "run", 7
    # Without repeats: where both workers are at those, no trial is running.
    args = [*COMMON, "--data", data, "--workers", 2, "--budget", budget, "--noise-repeats", 0, "--out", run_path]
    with start("-m", "nas.search", *args) as driver:
        wait_for_line(driver, r"^\[2/7\]")
        pids = children(driver.pid)
        assert len(pids) >= 2
        driver.kill()
        driver.stdout.read()  # Workers hold the pipes for as long as they live.
    deadline = time.monotonic() + 20
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "an orphan is left"
        time.sleep(0.05)

    study = RunFolder.open(run_path).read_study()
    told_before = {trial.number: (trial.user_attrs, trial.values) for trial in candidates(study)}
    assert 2 <= len(told_before) < budget
    assert any(trial.state == TrialState.RUNNING for trial in study.trials)

    assert exit_code(main, ["--resume", run_path, "--workers", 0]) == 0
    study = RunFolder.open(run_path).read_study()
    told = {trial.number: (trial.user_attrs, trial.values) for trial in candidates(study)}
    assert {number: told[number] for number in told_before} == told_before
    assert len(told) == len({attributes[ARCH_ID] for attributes, _ in told.values()}) == budget
    assert all(trial.state.is_finished() for trial in study.trials)
    assert len(pd.read_csv(run_path / "trials.csv")) == budget
    begun = re.findall(r"^\[\d/7\] #(\d+) accuracy", capsys.readouterr().err, re.MULTILINE)
    assert sorted(map(int, begun)) == sorted(set(told) - set(told_before))


def test_interrupted_by_ctrl_c(data, tmp_path):
    run_path = tmp_path / "run"
    args = [*COMMON, "--data", data, "--workers", 0, "--budget", 50, "--out", run_path, "--json"]
    with start("-m", "nas.search", *args) as driver:
        wait_for_line(driver, r"^\[ 1/50\]")
        driver.send_signal(signal.SIGINT)
        out, err = driver.communicate(timeout=60)
    assert driver.returncode == 130, err
    assert f"Go on with: python -m nas.search --resume {run_path}" in err
    assert "Traceback" not in err
    run = nas.results.load(run_path)
    assert json.loads(out)["measured"] == len(run.trials)
    assert 1 <= len(run.trials) < 50
    assert len(pd.read_csv(run_path / "trials.csv")) == len(run.trials)
    assert TrialState.RUNNING not in {trial.state for trial in run.folder.read_study().trials}
