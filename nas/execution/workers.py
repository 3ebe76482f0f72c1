"""`WorkerPool`: jobs run in worker processes of this machine, each with a pipe of its own.

The driver waits on the pipes and on the processes themselves; there is no thread and no queue between them that a
killed process could leave locked. Processes are spawned, never forked, because CUDA does not survive a fork and so that
each reads its environment before it imports torch.
"""

import atexit
import logging
import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Self

from nas.errors import InvalidInputError, WorkerStartError, invalid
from nas.evaluation.job import EvaluatorFactory, Job
from nas.execution.job import Failure, Outcome
from nas.execution.worker import Message, Ready, Refused, work

logger = logging.getLogger(__name__)

_MAX_STARTS = 2
_CLOSE_GRACE_S = 5.0


def worker_environments(
    device: str, num_workers: int, gpus: Sequence[str] = (), timing_gpu: str | None = None
) -> list[dict[str, str]]:
    """Return the environment variables of each worker.

    Args:
        device: "cpu": each worker computes on one thread, so that candidates do not disturb each other's step times.
        num_workers: How many.
        gpus: For device "cuda": what to deal out round robin as CUDA_VISIBLE_DEVICES, for example ["0", "1"]; empty
            leaves the environment as it is.
        timing_gpu: One that all workers of dealt out GPUs see besides, as their second: cuda:1.
    """
    if num_workers < 1:
        raise invalid("workers", "at least 1", num_workers, "Leave it out for the default.")
    if device == "cpu":
        return [{"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"} for _ in range(num_workers)]
    if gpus:
        seen = [gpu if timing_gpu is None else f"{gpu},{timing_gpu}" for gpu in gpus]
        return [{"CUDA_VISIBLE_DEVICES": seen[index % len(seen)]} for index in range(num_workers)]
    return [{} for _ in range(num_workers)]


def visible_gpus(count: int) -> list[str]:
    """Return the first `count` GPUs as CUDA_VISIBLE_DEVICES names them, within what it already allows this process."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = [name.strip() for name in allowed.split(",")] if allowed else [str(index) for index in range(count)]
    return names[:count]


def reserve_timing_gpu(
    gpus: Sequence[str], timing_device: str | None, devices: Sequence[int] | None = None
) -> tuple[list[str], str | None]:
    """Take the GPU that steps are timed on out of those that are dealt out.

    Args:
        gpus: What is to be dealt out, in the order in which this process numbers them.
        timing_device: As this process calls it, for example "cuda:1"; None for where training is.
        devices: Which of them to train on, by their numbers; None for all.

    Returns:
        The GPUs to train on, and the one to time on; None if that is none of them.

    Raises:
        InvalidInputError: If none is left to train on.
    """
    kind, _, index = (timing_device or "").partition(":")
    timing = int(index or 0) if kind == "cuda" and gpus else None
    training = [gpus[place] for place in (range(len(gpus)) if devices is None else devices) if place != timing]
    if gpus and not training:
        todo = "Name one more in --devices, or leave --timing-device out."
        raise invalid("timing_device", "another than the only one to train on", timing_device, todo)
    return training, None if timing is None else gpus[timing]


@dataclass(slots=True)
class _Worker:
    """The driver's view of one worker; `starts` counts processes in a row that were not seen ready."""

    process: SpawnProcess
    connection: Connection
    environment: Mapping[str, str]
    starts: int
    ready: bool = False
    job: Job | None = None


class WorkerPool:
    """An `Executor` over persistent worker processes, which are replaced when they die.

    Args:
        factory: Builds the evaluator in each worker. A worker that ends while building is started once more; if that
            ends too, the search ends with WorkerStartError.
        environments: One worker for each, with these variables added to its environment.
    """

    def __init__(self, factory: EvaluatorFactory, environments: Sequence[Mapping[str, str]]) -> None:
        if not environments:
            raise invalid("workers", "at least 1", 0, "Leave it out for the default.")
        self._pickled_factory = pickle.dumps(factory)
        self._environments = tuple(environments)
        self._workers: list[_Worker] = []

    @property
    def capacity(self) -> int:
        return len(self._environments)

    def __enter__(self) -> Self:
        """Start the workers and wait until one is ready, so that bad input is known before any job is given out."""
        # Should the pool ever be left open, nothing else would end the workers before multiprocessing joins them.
        atexit.register(self.close, cancel=True)
        try:
            for environment in self._environments:
                self._workers.append(self._start(environment, starts=1))
            while not any(worker.ready for worker in self._workers):
                self._wait(timeout=None)
                for worker in list(self._workers):
                    self._receive(worker)
        except BaseException:
            self.close(cancel=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(cancel=kind is not None)

    def submit(self, job: Job) -> None:
        # A ready worker first; one that is still starting finds the job in its pipe.
        idle = sorted((worker for worker in self._workers if worker.job is None), key=lambda worker: not worker.ready)
        if not idle:
            raise RuntimeError(f"all {self.capacity} workers are busy")
        self._give(idle[0], job)

    def next_outcome(self, timeout: float) -> tuple[Job, Outcome] | None:
        deadline = time.monotonic() + timeout
        while True:
            for worker in list(self._workers):
                ended = self._receive(worker)
                if ended is not None:
                    return ended
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self._wait(left)

    def close(self, cancel: bool) -> None:
        workers, self._workers = self._workers, []
        atexit.unregister(self.close)
        for worker in workers:
            if not cancel:
                _send(worker.connection, None)
        deadline = time.monotonic() + (0.0 if cancel else _CLOSE_GRACE_S)
        for worker in workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()  # SIGTERM would say nothing: workers ignore it.
            worker.connection.close()
            worker.process.join(_CLOSE_GRACE_S)
            if worker.process.exitcode is None:
                logger.warning("Worker process %s does not end.", worker.process.pid)
            else:
                worker.process.close()

    def _start(self, environment: Mapping[str, str], starts: int) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        level = logging.getLogger().getEffectiveLevel()
        process = context.Process(target=work, args=(theirs, self._pickled_factory, level), name="nas worker")
        with _signals_blocked(), _variables(environment):
            process.start()
        theirs.close()  # So that the pipe ends with the worker.
        return _Worker(process, ours, environment, starts)

    def _give(self, worker: _Worker, job: Job) -> None:
        worker.job = job
        _send(worker.connection, job)  # If the worker is dead, `_receive` finds out.

    def _wait(self, timeout: float | None) -> None:
        wait([end for worker in self._workers for end in (worker.connection, worker.process.sentinel)], timeout)

    def _receive(self, worker: _Worker) -> tuple[Job, Outcome] | None:
        """Take what a worker has sent, up to an outcome; replace the worker if it died."""
        alive = worker.process.is_alive()  # Asked before reading, so that a last message is not lost.
        try:
            while worker.connection.poll():
                ended = self._handle(worker, worker.connection.recv())
                if ended is not None:
                    return ended
        except (EOFError, OSError):
            alive = False
        return None if alive else self._replace(worker)

    def _handle(self, worker: _Worker, message: Message) -> tuple[Job, Outcome] | None:
        match message:
            case Ready():
                worker.ready, worker.starts = True, 0
            case Refused():
                raise InvalidInputError(message.message)
            case logging.LogRecord():
                if logging.getLogger(message.name).isEnabledFor(message.levelno):
                    logging.getLogger(message.name).handle(message)
            case _:
                job, worker.job = worker.job, None
                assert job is not None, "a worker sends an outcome only for a job"
                return job, message
        return None

    def _replace(self, dead: _Worker) -> tuple[Job, Outcome] | None:
        """Start a worker in place of a dead one; return its job as failed, unless the worker had not begun it."""
        dead.process.join()
        how = _how_it_ended(dead.process.exitcode)
        dead.process.close()
        dead.connection.close()
        place = self._workers.index(dead)
        if not dead.ready and dead.starts >= _MAX_STARTS:
            del self._workers[place]
            raise WorkerStartError(
                f"A worker process ended twice before it was ready to evaluate, the last time by {how}. "
                "What it printed above says why; a script that starts a search needs `if __name__ == '__main__':`."
            )
        logger.warning("A worker process ended by %s; starting another.", how)
        fresh = self._workers[place] = self._start(dead.environment, dead.starts + 1)
        if dead.job is None:
            return None
        if dead.ready:
            return dead.job, Failure("worker died", f"worker died ({how})")
        self._give(fresh, dead.job)
        return None


def _send(connection: Connection, message: Job | None) -> None:
    """Send to a worker that may have died; its death is noticed where its messages are read."""
    try:
        connection.send(message)
    except OSError:
        logger.debug("A worker died before it took %s.", message)


def _how_it_ended(exitcode: int | None) -> str:
    assert exitcode is not None, "the process has been joined"
    return f"signal {-exitcode}" if exitcode < 0 else f"exit code {exitcode}"


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
    """Let a process start with SIGINT and SIGTERM blocked, as they stay in it: Python would die of a Ctrl-C while it
    is still importing, before the worker can ask to ignore it. Here they are held back for as long as that takes.
    """
    resource_tracker.ensure_running()  # It would be started with the first process, and unblock them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
