"""`python -m nas.search --status`: looking at a run that is searched, that was stopped, and that is finished."""

import json
import re
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest

import nas.results
from nas import InvalidInputError
from nas.optimization.trials import note_sitting, sitting_of
from nas.results.folder import RunFolder
from nas.results.status import read_status
from nas.search import main
from tests.running import ROOT, everything_in, exit_code, start
from tests.stripes import write_stripes

REFERENCE_RUN = ROOT / "results/fashion_hard_200"


@pytest.fixture
def run_path(tmp_path):
    return shutil.copytree(REFERENCE_RUN, tmp_path / "run")


def test_a_finished_run(run_path):
    status, run = read_status(run_path), nas.results.load(run_path)
    assert (status.state, status.budget, status.measured, status.failed) == ("finished", 200, 200, 0)
    assert (status.under_way, status.eta_s) == (0, None)
    assert status.best_reward == run.best["reward"]
    assert status.front_size == len(run.pareto)
    ended = run.trials["ended_utc"].max()
    assert status.last_outcome_s == pytest.approx((datetime.now(UTC) - ended).total_seconds(), abs=60)


def test_looking_writes_nothing(run_path):
    before = everything_in(run_path)
    read_status(run_path)
    (run_path / ".lock").touch()
    read_status(run_path)
    assert everything_in(run_path) == {**before, ".lock": b""}


def test_the_lock_says_whether_a_search_runs(run_path):
    folder = RunFolder.open(run_path)
    with folder.lock():
        assert folder.is_locked()
        assert read_status(run_path).state == "running"
    assert not folder.is_locked()
    assert read_status(run_path).state == "finished"


def test_the_budget_and_the_pace_are_those_of_the_last_sitting(run_path):
    folder = RunFolder.open(run_path)
    study = folder.read_study()
    assert sitting_of(study) is None
    note_sitting(study, budget=300)
    assert read_status(run_path).state == "stopped"
    with folder.lock():
        status = read_status(run_path)
    assert (status.state, status.budget, status.eta_s) == ("running", 300, None)  # No candidate in this sitting.


def test_eta_is_the_pace_of_this_sitting(run_path):
    """The reference run, cut off at three quarters as if its search still went on, and 30 candidates before its end."""
    lines = (run_path / "journal.log").read_bytes().splitlines(keepends=True)
    (run_path / "journal.log").write_bytes(b"".join(lines[: len(lines) * 3 // 4]))
    folder, trials = RunFolder.open(run_path), nas.results.load(run_path).trials
    done, began = len(trials), trials["started_utc"].min()
    folder.read_study().set_user_attr("sitting", {"budget": done + 30, "began_utc": began.isoformat()})
    with folder.lock():
        status = read_status(run_path)
    assert 100 < status.measured == done < 200
    assert status.under_way in (1, 2)  # It had two workers.
    elapsed_s = (datetime.now(UTC) - began).total_seconds()
    assert status.eta_s == pytest.approx(30 * elapsed_s / done, rel=0.01)


def test_the_command_line(run_path, capsys):
    assert exit_code(main, ["--status", run_path]) == 0
    printed = capsys.readouterr()
    assert "finished" in printed.out
    assert "200 of 200: 200 measured, 0 stopped early, 0 failed; 0 under way" in printed.out
    assert re.search(r"^Best +reward 0\.\d{4}; 32 on the front$", printed.out, re.MULTILINE)
    assert "ETA" not in printed.out
    assert exit_code(main, ["--status", run_path, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["run"] == str(run_path)
    assert (found["state"], found["measured"], found["eta_s"]) == ("finished", 200, None)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--status", "nowhere"], "`run` must be a folder"),
        (["--status", "."], "a folder with a manifest.json"),
        (["--status", "run", "--resume", "run"], "`resume and status` must be given one at a time"),
        (["--status", "begun"], "`journal` must be there"),
    ],
)
def test_nothing_to_look_at(args, message, run_path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "begun").mkdir()
    shutil.copy(run_path / "manifest.json", tmp_path / "begun")
    assert exit_code(main, [*args, "--json"]) == 2
    printed = capsys.readouterr()
    assert (printed.out, len(printed.err.splitlines())) == ("", 1)
    assert message in printed.err


def test_it_needs_no_torch():
    code = "import sys; from nas.search import main; main(sys.argv[1:]); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, "--status", str(REFERENCE_RUN)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "False", done.stderr


def test_a_search_that_goes_on_is_looked_at_again_and_again(tmp_path):
    """From its first moment to its end, every look is whole; and what --json prints at the end is all of stdout."""
    data, run_path = write_stripes(tmp_path / "data", 150), tmp_path / "run"
    args = ["--space", "tests.stripes:space", "--fidelity", "64x1", "--val-images", 30, "--device", "cpu", "--json"]
    process = start("-m", "nas.search", *args, "--data", data, "--budget", 5, "--workers", 0, "--out", run_path)
    looks = []
    while process.poll() is None:
        try:
            looks.append(read_status(run_path))
        except InvalidInputError:
            assert not looks  # Only before it has begun.
        time.sleep(0.2)
    out, err = process.communicate()
    assert process.returncode == 0, err
    running = [look for look in looks if look.state == "running"]
    assert running
    assert [look.measured for look in looks] == sorted(look.measured for look in looks)
    assert max(look.under_way for look in running) == 1
    assert {look.budget for look in looks} == {5}
    last = read_status(run_path)
    assert (last.state, last.measured, last.under_way) == ("finished", 5, 0)

    found, run = json.loads(out), nas.results.load(run_path)
    assert (found["run"], found["measured"], found["failed"]) == (str(run_path), 5, 0)
    assert [row["number"] for row in found["front"]] == run.pareto["number"].tolist()
    assert [row["accuracy"] for row in found["front"]] == run.pareto["accuracy"].tolist()
    assert {row["fail_reason"] for row in found["front"]} == {None}
    assert datetime.fromisoformat(found["front"][0]["ended_utc"]).tzinfo is not None
    assert found["family"] == {size: spec.to_dict() for size, spec in run.family().items()}
    assert len(re.findall(r"^\[\d/5\] #\d+ accuracy", err, re.MULTILINE)) == 5
    assert f"python -m nas.train --arch {run_path}/S.json --data {data}\n" in err
