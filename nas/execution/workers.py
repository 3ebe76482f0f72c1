"""`WorkerPool`: jobs run in worker processes of this machine, each with a pipe of its own.

The driver waits on the pipes and on the processes themselves; there is no thread and no queue between them that a
killed process could leave locked.
"""

import atexit
import logging
import os
import pickle
import time
from collections import deque
from collections.abc import Mapping, Sequence
from multiprocessing.connection import wait
from types import TracebackType
from typing import Self

from nas.errors import InvalidInputError, WorkerStartError, invalid
from nas.evaluation.job import EvaluatorFactory, Job
from nas.execution.attempt import Attempt
from nas.execution.job import Failure, Outcome, with_attempts
from nas.execution.patience import MAX_TICK_S, Patience
from nas.execution.worker import Message, Ready, Refused, relay
from nas.execution.worker_process import WorkerProcess

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


class WorkerPool:
    """An `Executor` over persistent worker processes, which are replaced when they die.

    A job whose worker dies, hangs or loses its device is begun once more, in another process. Where that fails too, or
    where the job itself is at fault (lack of memory, divergence, an exception), it has failed.

    Args:
        factory: Builds the evaluator in each worker. A worker that ends while building is started once more; if that
            ends too, the search goes on without it, or ends with WorkerStartError if there is no other.
        environments: One worker for each, with these variables added to its environment.
        timeout_s: How long a worker may take for a job before it is taken to hang; None derives it from those that
            ended (see `Patience`).
        memory_bytes: Most memory that a worker may hold when it evaluates; None for no limit.
    """

    def __init__(
        self,
        factory: EvaluatorFactory,
        environments: Sequence[Mapping[str, str]],
        *,
        timeout_s: float | None = None,
        memory_bytes: int | None = None,
    ) -> None:
        if not environments:
            raise invalid("workers", "at least 1", 0, "Leave it out for the default.")
        self._pickled_factory = pickle.dumps(factory)
        self._environments = tuple(environments)
        self._memory_bytes = memory_bytes
        self._patience, self._start_patience = Patience(timeout_s), Patience()
        self._workers: list[WorkerProcess] = []
        self._waiting: deque[Attempt] = deque()
        self._num_given_up = 0

    @property
    def capacity(self) -> int:
        return len(self._environments) - self._num_given_up

    def __enter__(self) -> Self:
        """Start the workers and wait until one is ready, so that bad input is known before any job is given out."""
        # Should the pool ever be left open, nothing else would end the workers before multiprocessing joins them.
        atexit.register(self.close, cancel=True)
        try:
            for environment in self._environments:
                self._workers.append(self._start(environment, starts=1))
            while not any(worker.ready for worker in self._workers):
                self._wait(MAX_TICK_S)
                for worker in list(self._workers):
                    self._look_at(worker)
        except BaseException:
            self.close(cancel=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(cancel=kind is not None)

    def submit(self, job: Job) -> None:
        if sum(worker.attempt is None for worker in self._workers) <= len(self._waiting):
            raise RuntimeError(f"all {self.capacity} workers are busy")
        self._waiting.append(Attempt(job))
        self._give_out()

    def next_outcome(self, timeout: float) -> tuple[Job, Outcome] | None:
        deadline = time.monotonic() + timeout
        while True:
            for worker in list(self._workers):
                ended = self._look_at(worker)
                if ended is not None:
                    return ended
            self._give_out()
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self._wait(min(left, MAX_TICK_S))

    def close(self, cancel: bool) -> None:
        workers, self._workers = self._workers, []
        self._waiting.clear()
        atexit.unregister(self.close)
        for worker in workers:
            if not cancel:
                worker.send(None)
        deadline = time.monotonic() + (0.0 if cancel else _CLOSE_GRACE_S)
        for worker in workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            worker.end()

    def _start(self, environment: Mapping[str, str], starts: int) -> WorkerProcess:
        now_s = self._start_patience.now
        return WorkerProcess.start(environment, self._pickled_factory, self._memory_bytes, starts, now_s)

    def _wait(self, timeout: float) -> None:
        wait([end for worker in self._workers for end in (worker.connection, worker.process.sentinel)], timeout)

    def _give_out(self) -> None:
        # A ready worker first; one that is still starting finds the job in its pipe.
        idle = sorted((w for w in self._workers if w.attempt is None), key=lambda worker: not worker.ready)
        for worker in idle[: len(self._waiting)]:
            worker.give(self._waiting.popleft(), self._patience.now)

    def _look_at(self, worker: WorkerProcess) -> tuple[Job, Outcome] | None:
        """Take what a worker has sent, up to an outcome; replace the worker if it died, broke or hangs."""
        alive = worker.process.is_alive()  # Asked before reading, so that a last message is not lost.
        try:
            while worker.connection.poll():
                ended = self._handle(worker, worker.connection.recv())
                if ended is not None:
                    return ended
        except (EOFError, OSError):
            alive = False
        if worker.broken is not None or not alive:
            return self._replace(worker, worker.broken)
        patience = self._patience if worker.ready else self._start_patience
        waited_s = patience.now - worker.since_s
        if (worker.ready and worker.attempt is None) or waited_s <= patience.limit_s:
            return None
        return self._replace(worker, Failure("timed out", f"timed out: no result after {waited_s:.0f} s"))

    def _handle(self, worker: WorkerProcess, message: Message) -> tuple[Job, Outcome] | None:
        match message:
            case Ready():
                self._start_patience.learn(self._start_patience.now - worker.since_s)
                worker.ready, worker.starts, worker.since_s = True, 0, self._patience.now
            case Refused():
                raise InvalidInputError(message.message)
            case logging.LogRecord():
                relay(message)
            case Failure(kind="device error"):
                worker.broken = message
            case _:
                attempt, worker.attempt = worker.attempt, None
                assert attempt is not None, "a worker sends an outcome only for a job"
                if isinstance(message, Failure):
                    return attempt.job, message
                self._patience.learn(self._patience.now - worker.since_s)
                return attempt.job, with_attempts(message, attempt.number)
        return None

    def _replace(self, worker: WorkerProcess, failure: Failure | None) -> tuple[Job, Outcome] | None:
        """Start a worker in place of one that died or, for the given reason, is of no more use; see about its job."""
        how_it_ended = worker.end()
        failure = failure or how_it_ended
        self._refill(worker, failure.reason)
        attempt = worker.attempt
        if attempt is not None and worker.ready:
            again = attempt.lost(failure)
            if isinstance(again, Failure):
                return attempt.job, again
            logger.warning("Trial %d is begun once more: %s.", attempt.job.number, failure.reason)
            attempt = again
        if attempt is not None:
            self._waiting.appendleft(attempt)
        return None

    def _refill(self, gone: WorkerProcess, reason: str) -> None:
        """Start a worker in the place of one that is gone, unless that has twice not become ready."""
        place = self._workers.index(gone)
        if gone.ready or gone.starts < _MAX_STARTS:
            logger.warning("A worker process was replaced: %s.", reason)
            self._workers[place] = self._start(gone.environment, gone.starts + 1)
            return
        del self._workers[place]
        if not self._workers:
            raise WorkerStartError(
                f"A worker process twice did not become ready to evaluate, the last time: {reason}. "
                "What it printed above says why; a script that starts a search needs `if __name__ == '__main__':`."
            )
        self._num_given_up += 1
        logger.warning("A worker process twice did not become ready: %s. The others go on without it.", reason)
