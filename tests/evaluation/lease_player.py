"""A process that works or times under a lease, notes when, and is there to be killed.

    python -m tests.evaluation.lease_player LOG ROLE [--hold-s S] [--die-at N] [--no-lease]

LOG gets records of 16 bytes, each written in one go: what, and the monotonic clock in nanoseconds. Those of a hold are
written after it has begun and before it ends, so that holds that overlap in the logs did overlap. `Player`,
`overlaps` and `lock_state` are the other side: they start such processes and look at what they did.
"""

import argparse
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from nas.evaluation import lease as lease_module
from nas.evaluation.lease import Lease, NoLease

RECORD = struct.Struct("<q8s")
WORKS, TIMES, TIMES_BESIDE, DONE, DIES = b"works", b"times", b"beside", b"done", b"dies"
ROLES = ("train", "time", "both", "fork", "popen")


@dataclass
class Notes:
    file: int

    def write(self, what: bytes) -> None:
        os.write(self.file, RECORD.pack(time.monotonic_ns(), what))

    @contextmanager
    def hold(self, what: bytes) -> Iterator[None]:
        self.write(what)
        yield
        self.write(DONE)


def die_at(call: int, notes: Notes) -> None:
    """Kill this process right before its call-th locking operation, or right after it where `call` is negative."""
    flock, left = lease_module.fcntl.flock, abs(call)

    def flock_or_die(file: int, kind: int) -> None:
        nonlocal left
        left -= 1
        if left == 0 and call > 0:
            die()
        try:
            flock(file, kind)
        finally:
            if left == 0:
                die()

    def die() -> None:
        notes.write(DIES)
        os.kill(os.getpid(), signal.SIGKILL)

    lease_module.fcntl.flock = flock_or_die


def work(lease: Lease, notes: Notes, hold_s: float) -> None:
    with notes.hold(WORKS):
        time.sleep(hold_s)
    lease.yield_()


def measure(lease: Lease, notes: Notes, hold_s: float) -> None:
    with lease.exclusive() as alone, notes.hold(TIMES if alone or isinstance(lease, NoLease) else TIMES_BESIDE):
        time.sleep(hold_s)


def play(role: str, lease: Lease, notes: Notes, hold_s: float) -> None:
    if role == "train":
        with lease.shared():
            while True:
                work(lease, notes, hold_s)
    if role == "both":  # In turn, as a worker does, but without giving up the shared side in between.
        with lease.shared():
            while True:
                work(lease, notes, hold_s)
                measure(lease, notes, hold_s)
    if role == "time":
        while True:
            measure(lease, notes, hold_s)
    with lease.exclusive():  # A child must not keep the lock of a parent that was killed.
        if role == "fork" and os.fork() == 0:
            time.sleep(hold_s)
            os._exit(0)
        if role == "popen":
            subprocess.Popen(["sleep", str(hold_s)], close_fds=False)
        notes.write(TIMES)
        time.sleep(hold_s)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("log", type=Path)
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("--hold-s", type=float, default=0.001)
    parser.add_argument("--die-at", type=int, default=0)
    parser.add_argument("--no-lease", action="store_true")
    args = parser.parse_args()
    notes = Notes(os.open(args.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    if args.die_at:
        die_at(args.die_at, notes)
    play(args.role, NoLease() if args.no_lease else Lease("test"), notes, args.hold_s)


@dataclass
class Player:
    """A running player; `ended_ns` is when it was killed."""

    log: Path
    role: str
    options: tuple[str, ...] = ()
    ended_ns: int | None = None
    process: "subprocess.Popen[bytes]" = field(init=False)

    def __post_init__(self) -> None:
        command = [sys.executable, "-m", "tests.evaluation.lease_player", str(self.log), self.role, *self.options]
        self.process = subprocess.Popen(command, cwd=Path(__file__).parents[2], start_new_session=True)

    def records(self) -> list[tuple[int, bytes]]:
        if not self.log.exists():
            return []
        data = self.log.read_bytes()
        found = RECORD.iter_unpack(data[: len(data) // RECORD.size * RECORD.size])
        return [(when_ns, what.rstrip(b"\0")) for when_ns, what in found]

    def num_records(self) -> int:
        return self.log.stat().st_size // RECORD.size if self.log.exists() else 0

    def wait_for(self, num_records: int, timeout_s: float) -> None:
        """Wait until so many records are there; fail after the timeout."""
        deadline = time.monotonic() + timeout_s
        while self.num_records() < num_records:
            assert self.process.poll() is None, f"{self.role} ended with {self.process.returncode}"
            assert time.monotonic() < deadline, f"{self.role} stands still at {self.num_records()} records"
            time.sleep(0.002)

    def kill(self) -> None:
        self.ended_ns = time.monotonic_ns()
        self.process.kill()
        self.process.wait()

    def end_all(self) -> None:
        """Kill it and the children that it may have left."""
        self.kill()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def holds(self) -> list["Hold"]:
        """Return what it held from when to when; what was held when it was killed ends then."""
        holds: list[Hold] = []
        begun: tuple[int, bytes] | None = None
        for when_ns, what in self.records():
            if begun is not None:
                holds.append(Hold(begun[1], begun[0], when_ns))
            begun = None if what in (DONE, DIES) else (when_ns, what)
        if begun is not None:
            assert self.ended_ns is not None
            holds.append(Hold(begun[1], begun[0], max(begun[0], self.ended_ns)))
        return holds


@dataclass(frozen=True)
class Hold:
    what: bytes
    begin_ns: int
    end_ns: int


def overlaps(holds: list[Hold]) -> list[tuple[Hold, Hold]]:
    """Return pairs of holds at one time, one of which times and should have been alone."""
    found: list[tuple[Hold, Hold]] = []
    running: list[Hold] = []
    for hold in sorted(holds, key=lambda hold: hold.begin_ns):
        running = [other for other in running if other.end_ns > hold.begin_ns]
        found += [(other, hold) for other in running if TIMES in (other.what, hold.what)]
        running.append(hold)
    return found


def lock_state(path: Path) -> str:
    """Return how a file is locked: "", "shared" or "alone"."""
    with path.open("rb") as file:
        for kind, state in ((lease_module.fcntl.LOCK_EX, ""), (lease_module.fcntl.LOCK_SH, "shared")):
            with suppress(BlockingIOError):
                lease_module.fcntl.flock(file, kind | lease_module.fcntl.LOCK_NB)
                return state
    return "alone"


if __name__ == "__main__":
    main()
