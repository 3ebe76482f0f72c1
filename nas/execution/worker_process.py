"""`WorkerProcess`: the driver's view of one worker, from its start to its end."""

import logging
import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from nas.evaluation.job import Job
from nas.execution.attempt import Attempt
from nas.execution.job import Failure
from nas.execution.memory import num_system_kills
from nas.execution.signals import DRIVER_SIGNALS
from nas.execution.worker import work

logger = logging.getLogger(__name__)

_END_S = 5.0
"""How long a killed process may take to end; one that waits for a broken device may never."""


@dataclass(slots=True)
class WorkerProcess:
    """One worker.

    Attributes:
        process: Itself.
        connection: The driver's end of the pipe.
        environment: What was added to its environment.
        starts: Processes in a row, this one included, that were started in one place and not seen ready.
        since_s: When its attempt, or its start, began, by the pool's clock.
        ready: Whether its evaluator is built.
        attempt: What it works on.
        broken: Why it can do nothing more, though it runs.
        system_kills: How many processes the system had killed for lack of memory when that began.
    """

    process: SpawnProcess
    connection: Connection
    environment: Mapping[str, str]
    starts: int
    since_s: float
    ready: bool = False
    attempt: Attempt | None = None
    broken: Failure | None = None
    system_kills: int = 0

    @classmethod
    def start(
        cls, environment: Mapping[str, str], pickled_factory: bytes, memory_bytes: int | None, starts: int, now_s: float
    ) -> "WorkerProcess":
        """Start a process; spawned, since CUDA survives no fork and so that it reads its environment before torch."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        level = logging.getLogger().getEffectiveLevel()
        process = context.Process(target=work, args=(theirs, pickled_factory, level, memory_bytes), name="nas worker")
        with _signals_blocked(), _variables(environment):
            process.start()
        theirs.close()  # So that the pipe ends with the worker.
        return cls(process, ours, environment, starts, now_s, system_kills=num_system_kills())

    def give(self, attempt: Attempt, now_s: float) -> None:
        """Give it work. If it is dead, whoever reads its messages finds out."""
        self.attempt, self.system_kills = attempt, num_system_kills()
        if self.ready:
            self.since_s = now_s
        self.send(attempt.job)

    def send(self, message: Job | None) -> None:
        """Send to a process that may have died."""
        try:
            self.connection.send(message)
        except OSError:
            logger.debug("A worker died before it took %s.", message)

    def end(self) -> Failure:
        """Kill it if it still runs, and release what is left; return how it ended, as its job's failure."""
        self.process.kill()  # SIGTERM would say nothing: workers ignore it.
        self.process.join(_END_S)
        self.connection.close()
        code = self.process.exitcode
        if code is None:
            logger.warning("Worker process %s does not end.", self.process.pid)
            return Failure("worker died", "worker died (it does not end)")
        self.process.close()
        if code == -signal.SIGKILL and num_system_kills() > self.system_kills:
            return Failure("out of memory", "out of memory: the system killed the worker")
        return Failure("worker died", f"worker died ({f'signal {-code}' if code < 0 else f'exit code {code}'})")


@contextmanager
def _variables(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a process about to be started: it has them before its first import."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Let a process start with the driver's signals blocked, as they stay in it: Python would die of a Ctrl-C while it
    is still importing, before the worker can ask to ignore it. Here they are held back for as long as that takes.
    """
    resource_tracker.ensure_running()  # It would be started with the first process, and unblock them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, DRIVER_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
