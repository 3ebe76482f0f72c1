"""One holder and another, in this process or killed and stopped in one of their own. See also test_lease_kills.py."""

import logging
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nas.errors import InvalidInputError
from nas.evaluation import lease as lease_module
from nas.evaluation.lease import HAS_FLOCK, Lease, NoLease, lease_folder, open_lease
from tests.evaluation.lease_player import TIMES, Player, lock_state, overlaps

pytestmark = pytest.mark.skipif(not HAS_FLOCK, reason="needs flock")

START_S, GO_ON_S = 60, 5
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NAS_LEASE_DIR", str(tmp_path / "leases"))
    return tmp_path


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., Player]]:
    players: list[Player] = []

    def start(role: str, *options: str) -> Player:
        players.append(Player(folder / f"log{len(players)}", role, options))
        return players[-1]

    yield start
    for player in players:
        player.end_all()


def is_free() -> bool:
    """Whether nobody holds anything of the lease."""
    return all(lock_state(lease_folder() / f"test.{part}") == "" for part in ("gate", "room", "work", "timings"))


def test_alone_means_alone(monkeypatch) -> None:
    monkeypatch.setattr(lease_module, "MAX_EXCLUSIVE_S", 0.0)  # Nor does work wait, here for its own process.
    mine, other = Lease("test"), Lease("test")
    with mine.exclusive(0) as alone:
        assert alone
        with other.exclusive(0) as also:
            assert not also
        with Lease("another device").exclusive(0) as elsewhere:
            assert elsewhere
    assert is_free()
    with mine.shared(), other.shared():
        assert not is_free()
    assert is_free()


def test_the_shared_side_is_given_up_for_the_exclusive_one_and_taken_back() -> None:
    mine = Lease("test")
    with mine.shared():
        with mine.exclusive(0) as alone:
            assert alone
            mine.yield_()  # Of no effect here.
            assert not is_free()
        assert not is_free()  # Shared again.
        with mine.exclusive(0) as alone:
            assert alone
    assert is_free()


def test_two_that_share_can_both_be_alone_in_turn(start: Callable[..., Player]) -> None:
    """Each wants to be alone while the other holds the shared side: neither may wait for the other to finish."""
    both = [start("both"), start("both")]
    for player in both:
        player.wait_for(100, START_S)
    for player in both:
        player.kill()
    assert overlaps([hold for player in both for hold in player.holds()]) == []


def test_a_timing_that_waits_goes_before_work_that_goes_on(start: Callable[..., Player]) -> None:
    trainers = [start("train"), start("train")]
    for player in trainers:
        player.wait_for(2, START_S)
    mine = Lease("test")
    for _ in range(5):
        with mine.exclusive() as alone:
            before = [player.num_records() for player in trainers]
            assert alone
            time.sleep(0.01)
            assert [player.num_records() for player in trainers] == before
        for player in trainers:
            player.wait_for(player.num_records() + 2, GO_ON_S)
    assert mine.waited_s > 0


def test_work_that_waits_goes_before_the_next_timing(start: Callable[..., Player]) -> None:
    """Eight timers, each of which asks again at once, leave the gate hardly ever open."""
    timers = [start("time", "--hold-s", "0.06") for _ in range(8)]
    for player in timers:
        player.wait_for(2, START_S)
    mine = Lease("test")
    with mine.shared():
        before = sum(player.num_records() for player in timers)
        for _ in range(12):
            time.sleep(0.03)  # By then one of them has the gate.
            mine.yield_()
        num_timings = (sum(player.num_records() for player in timers) - before) / 2
    assert mine.paused_s > 0
    assert num_timings <= 24, "one each time is fair, and eight are what chance would give"


@pytest.mark.parametrize("role", ["train", "time", "both", "fork", "popen"])
def test_a_killed_holder_holds_nothing(start: Callable[..., Player], role: str) -> None:
    """Also while a child of it lives on."""
    holder = start(role, "--hold-s", "60")
    holder.wait_for(1, START_S)
    if role not in ("train", "both"):
        assert holder.records()[0][1] == TIMES
    assert not is_free()
    holder.kill()
    killed = time.monotonic()
    mine = Lease("test")
    with mine.shared():
        assert mine.paused_s < GO_ON_S
        with mine.exclusive(GO_ON_S) as alone:
            assert alone
    assert time.monotonic() - killed < GO_ON_S


def test_a_stopped_worker_delays_a_timing_only_so_long(start: Callable[..., Player], caplog) -> None:
    trainer = start("train")
    trainer.wait_for(2, START_S)
    trainer.process.send_signal(signal.SIGSTOP)
    mine = Lease("test")
    with mine.shared(), mine.exclusive(0.2) as alone:
        # The trainer may have been stopped at the one moment in which it holds nothing; not for long, then.
        assert not alone
        with Lease("test").exclusive(0) as other:
            assert not other, "who times beside others shares the device with them"
    assert 0.2 <= mine.waited_s < GO_ON_S
    # It may have been stopped while it looked at the gate, and then that is what cannot be had.
    assert "Timing beside others" in caplog.text
    with mine.exclusive() as alone:  # It is not waited for again for as long.
        assert not alone
    assert mine.waited_s < GO_ON_S
    trainer.process.send_signal(signal.SIGCONT)
    trainer.wait_for(trainer.num_records() + 2, GO_ON_S)
    for _ in range(2):
        with mine.exclusive(GO_ON_S) as alone:
            assert alone


def test_a_stopped_timer_delays_work_only_so_long(start: Callable[..., Player], monkeypatch, caplog) -> None:
    monkeypatch.setattr(lease_module, "MAX_EXCLUSIVE_S", 0.2)
    timer = start("time", "--hold-s", "60")
    timer.wait_for(1, START_S)
    timer.process.send_signal(signal.SIGSTOP)
    mine = Lease("test")
    with mine.shared():
        assert 0.2 <= mine.paused_s < GO_ON_S
        for _ in range(100):
            mine.yield_()
        assert mine.paused_s < GO_ON_S
        assert len([record for record in caplog.records if "going on beside it" in record.message]) == 1
        timer.kill()
        mine.yield_()
        assert not is_free()  # It has its share again.
        with mine.exclusive(0.1) as alone:
            assert alone


def test_a_timing_that_takes_too_long_says_so(monkeypatch, caplog) -> None:
    monkeypatch.setattr(lease_module, "MAX_EXCLUSIVE_S", 0.0)
    with Lease("test").exclusive():
        pass
    assert "other work may not have waited" in caplog.text


def test_many_timings_wait_for_each_other_longer_than_for_one(start: Callable[..., Player]) -> None:
    """The bound begins anew when another had its turn: a long queue that moves on is no reason to give up."""
    timers = [start("time", "--hold-s", "0.05") for _ in range(3)]
    for player in timers:
        player.wait_for(2, START_S)
    mine = Lease("test")
    for _ in range(5):
        with mine.exclusive(1) as alone:
            assert alone


def test_the_device_is_settled_before_it_is_left() -> None:
    free: list[bool] = []
    mine = Lease("test", settle=lambda: free.append(is_free()))
    with mine.shared():
        assert free == []
        mine.yield_()
        assert free == []  # Nobody waits: the device need not be waited for.
        with mine.exclusive():
            assert free == [False]
        assert free == [False, False]
    assert free == [False] * 3
    with Lease("test").exclusive(0) as alone:
        assert alone


def test_what_is_held_is_given_back_even_if_the_device_fails() -> None:
    def fail() -> None:
        raise RuntimeError("device-side assert")

    mine = Lease("test", settle=fail)
    with pytest.raises(RuntimeError, match="device-side"), mine.shared():
        pass
    assert is_free()
    with pytest.raises(RuntimeError, match="device-side"), mine.exclusive(0):
        pass
    assert is_free()
    with pytest.raises(RuntimeError, match="device-side"), mine.shared(), mine.exclusive(0):
        pytest.fail("the shared side could not be left in order")
    assert is_free()


def test_an_interrupted_wait_leaves_nothing_behind(monkeypatch) -> None:
    other, mine = Lease("test"), Lease("test")

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(lease_module.time, "sleep", interrupt)
    with other.shared(), pytest.raises(KeyboardInterrupt), mine.shared(), mine.exclusive(1):
        pytest.fail("not alone")
    assert is_free()
    with other.exclusive(0), pytest.raises(KeyboardInterrupt), mine.shared():
        pytest.fail("not shared")
    assert is_free()


def test_a_lease_is_not_taken_twice() -> None:
    mine = Lease("test")
    with mine.shared(), pytest.raises(RuntimeError, match="held already"), mine.shared():
        pass
    assert is_free()
    with mine.exclusive(), pytest.raises(RuntimeError, match="held exclusively already"), mine.exclusive():
        pass
    assert is_free()


def test_the_folder_is_ones_own(folder: Path, monkeypatch) -> None:
    assert lease_folder() == folder / "leases"
    monkeypatch.delenv("NAS_LEASE_DIR")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    own = lease_folder()
    assert own == folder / f"nas-leases-{os.getuid()}"
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    assert lease_folder() == own


def test_a_folder_of_another_user_is_refused(folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    (folder / "leases").mkdir()
    with pytest.raises(InvalidInputError, match=r"`lease folder` must be a folder of your own, .* NAS_LEASE_DIR"):
        Lease("test")


def test_a_link_or_a_file_in_place_of_the_folder_is_refused(folder: Path, monkeypatch) -> None:
    monkeypatch.delenv("NAS_LEASE_DIR")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    own = folder / f"nas-leases-{os.getuid()}"
    own.symlink_to(folder)
    with pytest.raises(InvalidInputError, match="a folder of your own"):
        Lease("test")
    own.unlink()
    own.write_text("")
    with pytest.raises(InvalidInputError, match="a folder for lock files"):
        Lease("test")
    own.unlink()
    (own / "test.gate").mkdir(parents=True)
    with pytest.raises(InvalidInputError, match="a place with file locks"):
        Lease("test")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")
def test_files_are_closed_with_the_lease() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(50):
        Lease("test")
    assert len(list(Path("/proc/self/fd").iterdir())) < before + 30


def test_without_flock_nobody_waits(monkeypatch, caplog) -> None:
    monkeypatch.setattr(lease_module, "HAS_FLOCK", False)
    with caplog.at_level(logging.WARNING):
        none = open_lease("test")
    assert isinstance(none, NoLease)
    assert "Timings are not exclusive" in caplog.text
    with none.shared():
        none.yield_()
        with none.exclusive() as alone:
            assert not alone
    assert none.paused_s == none.waited_s == 0


def test_the_module_can_be_imported_without_fcntl() -> None:
    code = (
        "import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name == 'fcntl' else find(name, *more)\n"
        "sys.modules['fcntl'] = None\n"
        "from nas.evaluation.lease import NoLease, open_lease\n"
        "assert isinstance(open_lease('cpu'), NoLease)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


class Model(RuleBasedStateMachine):
    """Three leases that never wait, against a model of who holds what; the lock file itself is what is looked at.

    A lease that cannot get what it wants goes on without: a timing beside others, work beside a timing.
    """

    NUM = 3

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(lease_module, "MAX_EXCLUSIVE_S", 0.0)
        self.folder = tempfile.TemporaryDirectory()
        self.patch.setenv("NAS_LEASE_DIR", self.folder.name)
        self.leases = [Lease("model") for _ in range(self.NUM)]
        self.sharing: list[AbstractContextManager[None] | None] = [None] * self.NUM
        self.timing: list[AbstractContextManager[bool] | None] = [None] * self.NUM
        self.held = [""] * self.NUM

    def teardown(self) -> None:
        for block in filter(None, [*self.timing, *self.sharing]):
            block.__exit__(None, None, None)
        self.patch.undo()
        self.folder.cleanup()

    def others(self, index: int) -> list[str]:
        return [held for place, held in enumerate(self.held) if place != index and held]

    def enter(self, index: int) -> None:
        self.held[index] = "" if "alone" in self.others(index) else "shared"

    @rule(index=st.integers(0, NUM - 1))
    def share(self, index: int) -> None:
        if self.sharing[index] is None and self.timing[index] is None:
            block = self.sharing[index] = self.leases[index].shared()
            block.__enter__()
            self.enter(index)

    @rule(index=st.integers(0, NUM - 1))
    def stop_sharing(self, index: int) -> None:
        block = self.sharing[index]
        if block is not None and self.timing[index] is None:
            block.__exit__(None, None, None)
            self.sharing[index], self.held[index] = None, ""

    @rule(index=st.integers(0, NUM - 1))
    def time_steps(self, index: int) -> None:
        if self.timing[index] is None:
            block = self.timing[index] = self.leases[index].exclusive(0)
            alone = block.__enter__()
            assert alone == (not self.others(index))
            if alone:
                self.held[index] = "alone"
            else:
                self.enter(index)

    @rule(index=st.integers(0, NUM - 1))
    def stop_timing(self, index: int) -> None:
        block = self.timing[index]
        if block is not None:
            block.__exit__(None, None, None)
            self.timing[index] = None
            kept = self.held[index] if self.sharing[index] is not None else ""
            self.held[index] = "shared" if kept else ""

    @rule(index=st.integers(0, NUM - 1))
    @precondition(lambda self: any(self.sharing))
    def yield_(self, index: int) -> None:
        self.leases[index].yield_()
        if self.sharing[index] is not None and self.held[index] != "alone":
            self.enter(index)

    @invariant()
    def the_room_is_held_as_the_model_says(self) -> None:
        assert self.held.count("alone") <= 1
        assert not ("alone" in self.held and "shared" in self.held)
        found = lock_state(Path(self.folder.name) / "model.room")
        assert found == max(self.held, key=["", "shared", "alone"].index)


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
