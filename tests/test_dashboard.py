"""optuna-dashboard on a run's journal, asked over HTTP as its page asks."""

import json
import os
import shutil
import socket
import subprocess
import sysconfig
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

import nas.results
from tests.running import ROOT

pytest.importorskip("optuna_dashboard")

RUN = ROOT / "results/fashion_hard_200"
COMMAND = Path(sysconfig.get_path("scripts")) / "optuna-dashboard"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory):
    """A dashboard that is up, as a function from a path to the JSON there."""
    journal = shutil.copy(RUN / "journal.log", tmp_path_factory.mktemp("run"))
    address = f"http://127.0.0.1:{(port := free_port())}"
    process = subprocess.Popen(
        [COMMAND, journal, "--host", "127.0.0.1", "--port", str(port)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def ask(path):
        with urlopen(f"{address}{path}", timeout=30) as answer:
            return json.load(answer)

    deadline = time.monotonic() + 60
    while True:
        try:
            ask("/api/studies")
            break
        except URLError:
            assert process.poll() is None, "the dashboard ended"
            assert time.monotonic() < deadline, "the dashboard does not answer"
            time.sleep(0.1)
    yield ask
    process.terminate()
    process.wait(timeout=20)
    assert Path(journal).read_bytes() == (RUN / "journal.log").read_bytes()


def test_it_lists_the_study(dashboard):
    (study,) = dashboard("/api/studies")["study_summaries"]
    assert study["study_name"] == "search"
    assert study["directions"] == ["maximize", "minimize", "minimize"]


def test_it_lists_every_trial_with_names_and_values(dashboard):
    (study,) = dashboard("/api/studies")["study_summaries"]
    found = dashboard(f"/api/studies/{study['study_id']}")
    assert found["objective_names"] == ["accuracy", "relative_step_time", "num_params"]
    values = {trial["number"]: trial["values"] for trial in found["trials"] if trial["state"] == "Complete"}
    trials = nas.results.load(RUN).trials
    for row in trials.to_dict("records"):
        assert values[row["number"]] == [row["accuracy"], row["relative_step_time"], row["num_params"]]
    notes = {note["key"] for trial in found["trials"] for note in trial["user_attrs"]}
    assert {"arch_id", "origin", "measurement"} <= notes
