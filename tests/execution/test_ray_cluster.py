"""`nas.search --cluster`: what it refuses, and a search over two real nodes on this machine, one of which is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nas.errors import InvalidInputError
from nas.evaluation.measurement import Measurement
from nas.execution import Evaluate, Failure, Job
from nas.results.status import read_status
from nas.search import main
from tests.execution.support import FIDELITY, Analytic, log_lines, make_space, measure
from tests.running import ROOT, refusal, start

pytest.importorskip("ray")

TINY = ("-m", "nas.search", "--fidelity", "256x1", "--val-images", "200", "--device", "cpu")


def wait_until(condition: Callable[[], bool], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def finish(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "Connection refused: is `ray start --head` running there?"),
        ("ray://127.0.0.1:1", "Connection refused"),
        ("nowhere.invalid:6379", "got 'nowhere.invalid:6379'"),
    ],
)
def test_an_address_where_nothing_listens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], address: str, message: str
) -> None:
    assert message in refusal(main, ["--cluster", address, "--out", tmp_path / "run"], capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_address_where_something_else_listens(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        begun = start(*TINY, "--cluster", f"127.0.0.1:{port}", "--out", tmp_path / "run")
        code, out, err = finish(begun)
    assert (code, out) == (2, "")
    # Ray's own lines about its attempts come before.
    assert err.splitlines()[-1].startswith("error: `cluster` must be a Ray cluster that answers")
    assert list(tmp_path.iterdir()) == []


@dataclass
class TwoNodes:
    """A Ray cluster of a head and another node, of one processor each."""

    cluster: Any
    other: Any

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def kill_other(self) -> None:
        os.kill(self.other.all_processes["raylet"][0].process.pid, signal.SIGKILL)


@pytest.fixture
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoNodes]:
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        yield TwoNodes(cluster, cluster.add_node(num_cpus=1))
    finally:
        cluster.shutdown()


@pytest.mark.slow
def test_a_search_loses_a_node_and_meets_its_budget(two_nodes: TwoNodes, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with start(*TINY, "--cluster", two_nodes.address, "--budget", "12", "--out", run, "--json") as driver:
        try:
            wait_until(lambda: (run / "journal.log").exists())
            wait_until(lambda: read_status(run).measured >= 3 and read_status(run).under_way >= 2)
            two_nodes.kill_other()
            code, out, err = finish(driver)
        finally:
            driver.kill()
    assert code == 0, err
    summary = json.loads(out)
    assert (summary["measured"], summary["failed"]) == (12, 0)
    assert "lost its worker" in err
    status = read_status(run)
    assert (status.measured, status.under_way) == (12, 0)
    # The cluster stays up, and the node that is left is free again.
    again = start(*TINY, "--cluster", two_nodes.address, "--budget", "13", "--resume", run)
    assert finish(again)[0] == 0
    assert read_status(run).measured == 13


@pytest.mark.slow
def test_what_the_cluster_cannot_place_is_said_at_once(two_nodes: TwoNodes, tmp_path: Path) -> None:
    for asked, message in (
        (("--device", "cuda"), "one with a node that has 1 CPU, 1 GPU"),
        (("--memory-per-trial", "90000GB"), "GiB of memory"),
    ):
        code, out, err = finish(start(*TINY, "--cluster", two_nodes.address, *asked, "--out", tmp_path / "run"))
        assert (code, out) == (2, "")
        assert message in err
        assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def _in_session(leader: int) -> set[int]:
    """Return the living processes of a session, which is what a process and all it started share."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(session) == leader and state != "Z":
            found.add(int(stat.parent.name))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("how", ["end", "interrupt", "kill"])
def test_a_local_cluster_ends_with_its_search(tmp_path: Path, how: str) -> None:
    run = tmp_path / "run"
    budget = "3" if how == "end" else "50"
    command = [sys.executable, *TINY, "--cluster", "local", "--budget", budget, "--out", str(run)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, start_new_session=True, **pipes) as driver:
        try:
            wait_until(lambda: (run / "journal.log").exists() and read_status(run).measured >= 1)
            assert len(_in_session(driver.pid)) > 3
            if how == "interrupt":
                for _ in range(2):
                    driver.send_signal(signal.SIGINT)
                    time.sleep(0.5)
            elif how == "kill":
                driver.kill()
            code, _, err = finish(driver)
        finally:
            driver.kill()
    assert code == {"end": 0, "interrupt": 130, "kill": -9}[how], err
    # Killed with its driver, Ray's agents look for their head for a minute before they go.
    wait_until(lambda: not _in_session(driver.pid), 120 if how == "kill" else 15)


@dataclass(frozen=True)
class Hungry:
    """Builds evaluators that take memory until something ends them."""

    log: Path

    def __call__(self) -> Evaluate:
        analytic = Analytic(self.log)

        def evaluate(job: Job) -> Measurement:
            analytic._write("begin", job)
            held = []
            for _ in range(400):
                held.append(b"x" * 2**24)
                time.sleep(0.02)
            return measure(job.spec)

        return evaluate


@pytest.mark.slow
def test_a_candidate_for_which_ray_runs_out_of_memory_fails_with_that_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.cluster_utils import Cluster

    from nas.execution.ray_cluster import RayCluster
    from nas.execution.ray_executor import RayExecutor

    memory = {name: int(size.split()[0]) for name, size in (x.split(":") for x in _meminfo())}
    used = 1 - memory["MemAvailable"] / memory["MemTotal"]
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_memory_usage_threshold", f"{used + 0.1:.3f}")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "100")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    job = Job(0, make_space().reference, FIDELITY, seed=0)
    try:
        with RayCluster(cluster.address) as connected, RayExecutor(connected, Hungry(tmp_path / "log")) as executor:
            executor.submit(job)
            ended = executor.next_outcome(120)
    finally:
        cluster.shutdown()
    assert ended is not None
    assert isinstance(ended[1], Failure)
    assert ended[1].kind == "out of memory", ended[1]
    assert len(log_lines(tmp_path / "log", "begin")) == 2


def _meminfo() -> list[str]:
    return Path("/proc/meminfo").read_text().splitlines()


@pytest.mark.parametrize("address", ["local", "auto"])
def test_ray_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    from nas.execution.ray_cluster import RayCluster

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InvalidInputError, match=r'pip install "nas\[cluster\]"'):
        RayCluster(address).check()
