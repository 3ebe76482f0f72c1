"""`run_trainings`: a list of trainings through an executor, in order, until all ended or a signal stops it."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import cast

from nas.evaluation.training_job import TrainingJob, TrainingResult
from nas.execution.executor import Executor
from nas.execution.job import Failure
from nas.execution.signals import StopSignals

_POLL_S = 0.5

OnEnded = Callable[[TrainingJob, TrainingResult | Failure], None]


def run_trainings(
    executor: Executor, jobs: Iterable[TrainingJob], *, on_ended: OnEnded, on_stopping: Callable[[int], None]
) -> bool:
    """Have jobs run, as many at a time as the executor takes.

    Args:
        executor: Open, over evaluators that take a `TrainingJob` and return a `TrainingResult`.
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
                on_ended(*cast(tuple[TrainingJob, TrainingResult | Failure], ended))
