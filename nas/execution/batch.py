"""`run_jobs`: a list of jobs through an executor, in order, until all ended or a signal stops it."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeVar, cast

from nas.evaluation.job import Job
from nas.execution.executor import Executor
from nas.execution.job import Failure
from nas.execution.signals import StopSignals

_POLL_S = 0.5

AnyJob = TypeVar("AnyJob", bound=Job)
Result = TypeVar("Result")


def run_jobs(
    executor: Executor,
    jobs: Iterable[AnyJob],
    *,
    on_ended: Callable[[AnyJob, Result | Failure], None],
    on_stopping: Callable[[int], None],
) -> bool:
    """Have jobs run, as many at a time as the executor takes.

    Args:
        executor: Open, over evaluators that take such a job and return a result.
        jobs: In the order in which they are begun.
        on_ended: Is told of each job that ended, in this thread.
        on_stopping: Is told how many are awaited when a signal asks for an end.

    Returns:
        Whether all were run. After a first Ctrl-C or SIGTERM the running ones are awaited, after a second they are
        given up.
    """
    waiting, num_running, told_to_stop = deque(jobs), 0, False
    with StopSignals() as signals:
        while True:
            while waiting and not signals.stop_requested and num_running < executor.capacity:
                executor.submit(waiting.popleft())
                num_running += 1
            if num_running == 0:
                return not waiting
            if signals.stop_requested and not told_to_stop:
                told_to_stop = True
                on_stopping(num_running)
            try:
                with signals.cancellable():
                    ended = executor.next_outcome(_POLL_S)
            except KeyboardInterrupt:
                executor.close(cancel=True)
                return False
            if ended is not None:
                num_running -= 1
                # Executors pass on whatever their evaluators return; their types speak of a search's.
                on_ended(*cast(tuple[AnyJob, Result | Failure], ended))
