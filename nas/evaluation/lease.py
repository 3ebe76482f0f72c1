"""A lease on a device between the processes of one user on one machine: work shares it, timing has it alone.

Training holds a lease shared and yields at the end of every batch. Timing asks for it exclusively: shared holders then
leave at their next batch, wait, and go on. Four lock files a device, taken by `flock`, which the kernel releases when
a process ends, however it ends; so nothing is ever left to clean up, and files hold no state that could be wrong.

- "room": held shared by who works, exclusively by who times.
- "gate": held exclusively by the one who times, from before the room is asked for. Nobody enters the room while it is
  held, so that a stream of training never keeps a timing out.
- "work": held shared by work that waits at the gate. Who wants to time next lets it through first, so that a stream of
  timings never keeps training out.
- "timings": held shared by timings that wait at the gate. One that comes when it happens to be open lets them go first,
  so that who asks again and again does not keep the others out.

Nobody waits while holding what another needs to go on, except for the one at the gate, and that has a bound. So there
is no deadlock, and a process that is stopped, not killed, delays others by no more than the bounds.
"""

import importlib.util
import logging
import math
import os
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from nas.errors import invalid

HAS_FLOCK = importlib.util.find_spec("fcntl") is not None
if HAS_FLOCK:
    import fcntl

logger = logging.getLogger(__name__)

FOLDER_VARIABLE = "NAS_LEASE_DIR"
TIMEOUT_S = 30.0
"""How long a timing waits for any one holder."""
MAX_EXCLUSIVE_S = 120.0
"""How long work waits for one timing. It then goes on: the process that times may be stopped."""
_AGAIN_S = 1.0
"""How long a timing waits if the last one waited in vain: who did not move for all the time given is likely stopped."""
_COURTESY_S = 0.1
"""How long a timing lets waiting work go first; that looks at the gate at least every `_MAX_NAP_S`."""
_MIN_NAP_S, _MAX_NAP_S = 0.001, 0.02


def lease_folder() -> Path:
    """Return the folder of the lock files: NAS_LEASE_DIR, or one of this user's below the folder for temporary files.

    It is made where it is missing.

    Raises:
        InvalidInputError: If it cannot be made or belongs to another user, who could block us.
    """
    given = os.environ.get(FOLDER_VARIABLE)
    uid = os.getuid()
    folder = Path(given).resolve() if given else Path(tempfile.gettempdir()) / f"nas-leases-{uid}"
    try:
        folder.mkdir(mode=0o700, parents=bool(given), exist_ok=True)
        owner = folder.lstat().st_uid
    except OSError as error:
        raise _no_folder("a folder for lock files", f"{folder} ({error.strerror})") from None
    if folder.is_symlink() or owner != uid:
        raise _no_folder("a folder of your own", str(folder))
    return folder


def _no_folder(rule: str, value: str) -> Exception:
    return invalid("lease folder", rule, value, f"Name another in the environment variable {FOLDER_VARIABLE}.")


class Lease:
    """A lease on one device. Not for use by several threads; a forked child holds nothing of its parent's.

    Args:
        name: Of the physical device, the same in all processes; see `nas.evaluation.device.physical_name`.
        settle: Waits until the device has done all that it was asked. Called before the device is left to others: what
            is still queued on it would run into their timings.

    Attributes:
        paused_s: Seconds that work waited for timings of others, in all.
        waited_s: Seconds that timings waited to be alone, in all.

    Raises:
        InvalidInputError: If there is no place for lock files.
    """

    def __init__(self, name: str, settle: Callable[[], None] = lambda: None) -> None:
        self.paused_s = self.waited_s = 0.0
        self._wanted = self._held = self._alone = False
        self._settle = settle
        self._work_patience_s, self._timing_patience_s = MAX_EXCLUSIVE_S, math.inf
        self._in_line, self._free_since = False, math.inf
        folder = lease_folder()
        self._paths = [folder / f"{name}.{part}" for part in ("gate", "room", "work", "timings")]
        self._files: list[int] = []
        self._open()
        _leases.add(self)
        weakref.finalize(self, _close, self._files)

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Hold the device together with other work; wait first while a timing has it. Call `yield_` often inside."""
        if self._wanted:
            raise RuntimeError("the lease is held already")
        self._wanted = True
        try:
            self._pause()
            yield
        finally:
            self._wanted = False
            try:
                self._leave()
            finally:
                self._unlock(*self._files)  # Whatever an interrupted wait has left.

    def yield_(self) -> None:
        """Let a timing go first if one waits, else return at once. Nothing happens outside `shared`."""
        if self._held and self._try(self._gate, fcntl.LOCK_SH):
            fcntl.flock(self._gate, fcntl.LOCK_UN)
        elif self._wanted and not self._alone:
            self._pause()

    @contextmanager
    def exclusive(self, timeout_s: float = TIMEOUT_S) -> Iterator[bool]:
        """Hold the device alone; within `shared`, that is given up before and taken back after.

        Args:
            timeout_s: Bound on waiting for any one holder. It begins anew when another timing has had its turn, and is
                at most `_AGAIN_S` if the last wait was in vain.

        Yields:
            True if no other process works on the device until the block ends. False if the bound has passed: the block
            then shares the device like other work, so that it waits for timings, and they wait for it. A block that
            takes longer than `MAX_EXCLUSIVE_S` does not stay alone.
        """
        if self._alone:
            raise RuntimeError("the lease is held exclusively already")
        start = time.monotonic()
        try:
            self._leave()
            self._alone = self._take(min(timeout_s, self._timing_patience_s))
            self._timing_patience_s = math.inf if self._alone else _AGAIN_S
            begin = time.monotonic()
            self.waited_s += begin - start
            yield self._alone
            if self._alone and time.monotonic() - begin > MAX_EXCLUSIVE_S:
                logger.warning("A timing took longer than %g s: other work may not have waited.", MAX_EXCLUSIVE_S)
        finally:
            self._go_back()

    @property
    def _gate(self) -> int:
        return self._files[0]

    @property
    def _room(self) -> int:
        return self._files[1]

    @property
    def _waiting_work(self) -> int:
        return self._files[2]

    @property
    def _waiting_timings(self) -> int:
        return self._files[3]

    def _pause(self) -> None:
        start = time.monotonic()
        self._leave()
        self._enter()
        self.paused_s += time.monotonic() - start

    def _leave(self) -> None:
        """Give up the shared side, if held."""
        if self._held:
            try:
                self._settle()
            finally:
                self._held = False
                self._unlock(self._room)

    def _enter(self) -> None:
        """Take the shared side as soon as no timing holds the gate, or go on without it when patience ends."""
        self._held = _poll(self._try_enter, self._work_patience_s)
        self._unlock(self._waiting_work)
        if self._held:
            self._work_patience_s = MAX_EXCLUSIVE_S
        elif self._work_patience_s:
            logger.warning("Another process has held a device alone for %g s: going on beside it.", MAX_EXCLUSIVE_S)
            self._work_patience_s = 0.0  # Until the gate has been seen open.

    def _try_enter(self) -> bool:
        if self._try(self._gate, fcntl.LOCK_SH):
            entered = self._try(self._room, fcntl.LOCK_SH)
            self._unlock(self._gate)
            if entered:
                return True
        self._try(self._waiting_work, fcntl.LOCK_SH)
        return False

    def _take(self, timeout_s: float) -> bool:
        """Take the exclusive side, or after the bound the shared one."""
        if not self._take_gate(timeout_s):
            logger.warning("Timing beside others: another process did not let it begin within %g s.", timeout_s)
            self._enter()
            return False
        if _poll(lambda: self._try(self._room, fcntl.LOCK_EX), timeout_s):
            return True
        logger.warning("Timing beside others: a process did not leave the device within %g s.", timeout_s)
        self._held = self._try(self._room, fcntl.LOCK_SH)
        self._unlock(self._gate)
        return False

    def _take_gate(self, timeout_s: float) -> bool:
        self._in_line, self._free_since = False, math.inf
        turn = self._last_turn()
        try:
            while not _poll(self._try_gate, timeout_s):
                before, turn = turn, self._last_turn()
                if turn == before:
                    return False
            return True
        finally:
            self._unlock(self._waiting_timings)

    def _try_gate(self) -> bool:
        if not self._try(self._gate, fcntl.LOCK_EX):
            self._free_since = math.inf
            self._in_line = self._in_line or self._try(self._waiting_timings, fcntl.LOCK_SH)
            return False
        now = time.monotonic()
        self._free_since = min(self._free_since, now)
        if now - self._free_since < _COURTESY_S and self._should_let_go_first():
            self._unlock(self._gate)
            return False
        os.utime(self._gate)
        return True

    def _should_let_go_first(self) -> bool:
        """Tell whether work waits, or timings that came before this one."""
        return self._is_held(self._waiting_work) or (not self._in_line and self._is_held(self._waiting_timings))

    def _last_turn(self) -> int:
        """Return a number that changes when a timing takes the gate."""
        return os.fstat(self._gate).st_mtime_ns

    def _is_held(self, file: int) -> bool:
        """Tell whether another process holds a file that this one does not hold."""
        if self._try(file, fcntl.LOCK_EX):
            self._unlock(file)
            return False
        return True

    def _go_back(self) -> None:
        """After an exclusive block, or a wait for one that was interrupted, to what was held before."""
        try:
            if self._alone or self._held:
                self._settle()
        finally:
            if self._alone and self._wanted:
                self._held = self._try(self._room, fcntl.LOCK_SH)  # Nobody else can take it alone: we hold the gate.
            elif not (self._wanted and self._held):
                self._held = False
                self._unlock(self._room)
            self._alone = False
            self._unlock(self._waiting_work, self._waiting_timings, self._gate)

    @staticmethod
    def _try(file: int, kind: int) -> bool:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    @staticmethod
    def _unlock(*files: int) -> None:
        for file in files:
            fcntl.flock(file, fcntl.LOCK_UN)

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._files[:] = [os.open(path, flags, 0o600) for path in self._paths]
            self._is_held(self._waiting_work)
        except OSError as error:
            raise _no_folder("a place with file locks", f"{self._paths[0].parent} ({error.strerror})") from None

    def forget(self) -> None:
        """In a forked child: leave the parent's locks to the parent and start with nothing held."""
        _close(self._files)
        self._wanted = self._held = self._alone = False
        self._open()


class NoLease(Lease):
    """Where there is no flock (Windows): nobody waits, and no timing is known to be alone."""

    def __init__(self) -> None:
        self.paused_s = self.waited_s = 0.0

    @contextmanager
    def shared(self) -> Iterator[None]:
        yield

    def yield_(self) -> None:
        pass

    @contextmanager
    def exclusive(self, timeout_s: float = TIMEOUT_S) -> Iterator[bool]:  # noqa: ARG002
        yield False


def open_lease(name: str, settle: Callable[[], None] = lambda: None) -> Lease:
    """Return a `Lease`, or a `NoLease` with a warning where the system has no flock."""
    if HAS_FLOCK:
        return Lease(name, settle)
    logger.warning("Timings are not exclusive: this system has no flock.")
    return NoLease()


def _poll(attempt: Callable[[], bool], timeout_s: float) -> bool:
    """Try again and again with naps between until it works or the time is over.

    A flock that waits could not be given a bound but by a signal, which only the main thread may handle.
    """
    deadline, nap_s = time.monotonic() + timeout_s, _MIN_NAP_S
    while not attempt():
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            return False
        time.sleep(min(nap_s, left_s))
        nap_s = min(2 * nap_s, _MAX_NAP_S)
    return True


def _close(files: Sequence[int]) -> None:
    for file in files:
        os.close(file)


_leases: "weakref.WeakSet[Lease]" = weakref.WeakSet()


def _forget_in_child() -> None:
    """A forked child shares its parent's open files: its locks would last for as long as either has them open."""
    for lease in list(_leases):
        lease.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
