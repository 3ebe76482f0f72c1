"""`RayWorker`: the worker's side of `RayExecutor`, one Ray actor that serves one job after the other."""

import logging
import logging.handlers
from dataclasses import dataclass

import ray

from nas.errors import InvalidInputError
from nas.evaluation.job import Evaluate, EvaluatorFactory, Job
from nas.execution.job import Outcome
from nas.execution.runner import run_job
from nas.execution.worker import Ready, Refused


@dataclass(frozen=True, slots=True)
class Reply:
    """What a call of a worker returns.

    Attributes:
        result: Of the call.
        node: On which it ran, as Ray names it.
        records: What was logged meanwhile, ready to travel.
    """

    result: Ready | Refused | Outcome
    node: str
    records: list[logging.LogRecord]


class _Collector(logging.handlers.QueueHandler):
    """Keeps log records until a reply takes them along; Ray's own stay in its files."""

    def __init__(self) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self.addFilter(lambda record: record.name.partition(".")[0] != "ray")
        self._kept: list[logging.LogRecord] = []

    def enqueue(self, record: logging.LogRecord) -> None:
        self._kept.append(record)

    def take(self) -> list[logging.LogRecord]:
        self.acquire()  # The lock that logging holds around `enqueue`.
        try:
            kept, self._kept = self._kept, []
            return kept
        finally:
            self.release()


class RayWorker:
    """Builds its evaluator once, when it is started, and keeps it.

    Args:
        log_level: Least level of the log records that the driver wants.
    """

    def __init__(self, log_level: int) -> None:
        self._evaluate: Evaluate | None = None
        self._log = _Collector()
        logging.root.handlers[:] = [self._log]
        logging.root.setLevel(log_level)

    def start(self, factory: EvaluatorFactory) -> Reply:
        try:
            self._evaluate = factory()
        except InvalidInputError as error:
            return self._reply(Refused(str(error)))
        return self._reply(Ready())

    def run(self, job: Job) -> Reply:
        assert self._evaluate is not None, "the driver gives jobs to workers that are ready"
        return self._reply(run_job(self._evaluate, job))

    def _reply(self, result: Ready | Refused | Outcome) -> Reply:
        return Reply(result, ray.get_runtime_context().get_node_id(), self._log.take())
