"""Processes that share a device are killed at any moment, over and over; the others go on and never overlap."""

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nas.evaluation.lease import HAS_FLOCK
from tests.evaluation.lease_player import TIMES, TIMES_BESIDE, WORKS, Hold, Player, overlaps

pytestmark = pytest.mark.skipif(not HAS_FLOCK, reason="needs flock")

START_S, GO_ON_S = 60, 5
CAST = ("train", "train", "time", "time", "both", "both")


class Play:
    """A cast of players, of whom any may be killed and replaced."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder, self._options = folder, options
        self.all: list[Player] = []
        self.on_stage = [self.start(role) for role in CAST]

    def start(self, role: str, *options: str) -> Player:
        player = Player(self._folder / str(len(self.all)), role, (*self._options, *options))
        self.all.append(player)
        return player

    def check_progress(self) -> None:
        """Wait until everybody on the stage has held the device once more, from begin to end."""
        before = [(player, player.num_records()) for player in self.on_stage]
        for player, num_records in before:
            player.wait_for(num_records + 4, GO_ON_S if num_records else START_S)

    def end(self) -> None:
        for player in self.all:
            if player.process.poll() is None:
                player.kill()

    def holds(self) -> list[Hold]:
        return [hold for player in self.all for hold in player.holds()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NAS_LEASE_DIR", str(tmp_path / "leases"))
    return tmp_path


@pytest.fixture
def play(folder: Path) -> Iterator[Play]:
    play = Play(folder)
    yield play
    play.end()


@pytest.mark.parametrize(
    "num_kills", [pytest.param(20, id="20 kills"), pytest.param(200, id="200 kills", marks=pytest.mark.slow)]
)
def test_kills_at_any_moment_stop_nobody_and_let_nobody_overlap(play: Play, num_kills: int) -> None:
    chance = random.Random(num_kills)
    play.check_progress()
    for number in range(num_kills):
        if number % 2:  # Any moment.
            place = chance.randrange(len(CAST))
            time.sleep(chance.random() * 0.02)
            play.on_stage[place].kill()
            play.on_stage[place] = play.start(CAST[place])
        else:  # Right before or after a locking operation, where a moment is too short to be hit by chance.
            call = chance.randrange(1, 60) * chance.choice((1, -1))
            doomed = play.start(chance.choice(CAST), "--die-at", str(call))
            assert doomed.process.wait(START_S) == -signal.SIGKILL
        play.check_progress()
    play.end()
    holds = play.holds()
    counts = {what: sum(hold.what == what for hold in holds) for what in (WORKS, TIMES, TIMES_BESIDE)}
    longest_ms = {what: max(h.end_ns - h.begin_ns for h in holds if h.what == what) / 1e6 for what in (WORKS, TIMES)}
    print(f"\n{num_kills} kills, holds {counts}, longest {longest_ms} ms")
    assert len(play.all) == len(CAST) + num_kills
    assert min(counts[WORKS], counts[TIMES]) > num_kills
    assert counts[TIMES_BESIDE] == 0
    assert overlaps(holds) == []


def test_without_the_lease_they_overlap(folder: Path) -> None:
    """What the test above looks for can be seen."""
    play = Play(folder, "--no-lease")
    play.check_progress()
    time.sleep(0.1)
    play.end()
    found = {frozenset((first.what, second.what)) for first, second in overlaps(play.holds())}
    assert found == {frozenset((TIMES,)), frozenset((TIMES, WORKS))}


def test_overlaps_are_those_with_a_timing() -> None:
    works, times = Hold(WORKS, 0, 10), Hold(TIMES, 10, 20)
    assert overlaps([works, times, Hold(TIMES, 20, 21), Hold(WORKS, 5, 8)]) == []
    assert overlaps([times, works, Hold(WORKS, 19, 30)]) == [(times, Hold(WORKS, 19, 30))]
    assert overlaps([Hold(TIMES, 0, 11), times]) == [(Hold(TIMES, 0, 11), times)]
