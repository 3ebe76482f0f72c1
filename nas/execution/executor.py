"""`Executor`: where jobs run. `InProcessExecutor` runs them here; `nas.execution.workers` in other processes."""

from collections import deque
from types import TracebackType
from typing import Protocol, Self

from nas.errors import DeviceLostError
from nas.evaluation.job import Evaluate, EvaluatorFactory, Job
from nas.execution.job import Failure, Outcome, with_attempts
from nas.execution.runner import run_job


class Executor(Protocol):
    """A context manager: entering it makes the evaluator ready, or raises InvalidInputError if it cannot be built."""

    @property
    def capacity(self) -> int:
        """How many jobs may be submitted and not yet returned at any time."""

    def submit(self, job: Job) -> None:
        """Take a job; only while fewer than `capacity` are under way."""

    def next_outcome(self, timeout: float) -> tuple[Job, Outcome] | None:
        """Return the next job that ended, whichever it is, or None if none ends within `timeout` seconds.

        Raises:
            InvalidInputError: If a worker finds that the evaluator cannot be built from what the user gave.
            WorkerStartError: If workers keep ending before they can take a job.
            DeviceLostError: If jobs run in this process and it can no longer use its device.
        """

    def close(self, cancel: bool) -> None:
        """End every worker within seconds; with `cancel`, at once and in the middle of jobs. Twice is harmless."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class InProcessExecutor:
    """Runs jobs one after the other in the calling process, inside `next_outcome`, whose timeout it cannot keep."""

    def __init__(self, factory: EvaluatorFactory) -> None:
        self._factory = factory
        self._evaluate: Evaluate | None = None
        self._waiting: deque[Job] = deque()

    @property
    def capacity(self) -> int:
        return 1

    def submit(self, job: Job) -> None:
        self._waiting.append(job)

    def next_outcome(self, timeout: float) -> tuple[Job, Outcome] | None:  # noqa: ARG002
        if self._evaluate is None:
            raise RuntimeError("the executor is not open: use it in a with statement")
        if not self._waiting:
            return None
        job = self._waiting.popleft()
        outcome = run_job(self._evaluate, job)
        if not isinstance(outcome, Failure):
            return job, with_attempts(outcome, 1)
        if outcome.kind == "device error":
            todo = "Go on with --resume; a search with --workers replaces a process to which this happens."
            raise DeviceLostError(f"This process can no longer use its device. {outcome.reason}. {todo}")
        return job, outcome

    def close(self, cancel: bool) -> None:  # noqa: ARG002
        self._waiting.clear()
        self._evaluate = None

    def __enter__(self) -> Self:
        self._evaluate = self._factory()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(cancel=kind is not None)
