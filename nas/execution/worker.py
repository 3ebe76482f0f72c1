"""A worker process: builds the evaluator, then takes jobs from its pipe until the driver closes it."""

import logging
import logging.handlers
import multiprocessing
import os
import pickle
import signal
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

from nas.errors import InvalidInputError
from nas.evaluation.job import Evaluate, EvaluatorFactory, Job
from nas.execution.job import Outcome
from nas.execution.memory import limit_memory, prefer_to_be_killed
from nas.execution.runner import run_job
from nas.execution.signals import DRIVER_SIGNALS


@dataclass(frozen=True, slots=True)
class Ready:
    """The evaluator is built."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The evaluator cannot be built from what the user gave; the worker ends."""

    message: str


Message = Ready | Refused | Outcome | logging.LogRecord
"""What a worker sends. An outcome belongs to the job that the worker was last given."""


def relay(record: logging.LogRecord) -> None:
    """Let the driver's logging handle what a worker logged, if its logger wants it."""
    ours = logging.getLogger(record.name)
    if ours.isEnabledFor(record.levelno):
        ours.handle(record)


class _Sender(logging.handlers.QueueHandler):
    """Sends messages to the driver one at a time, log records among them, from whichever thread."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self._connection = connection

    def enqueue(self, record: logging.LogRecord) -> None:
        self._connection.send(record)

    def send(self, message: Message) -> None:
        self.acquire()  # The lock that logging holds around `enqueue`.
        try:
            self._connection.send(message)
        finally:
            self.release()


def work(connection: Connection, pickled_factory: bytes, log_level: int, memory_bytes: int | None) -> None:
    """Serve jobs until the driver sends None, closes the pipe or dies.

    Args:
        connection: The worker's end of the pipe.
        pickled_factory: The `EvaluatorFactory`. It is loaded here and not by multiprocessing, because loading it may
            import torch, and by then the driver must be under watch.
        log_level: Least level of the log records that the driver wants.
        memory_bytes: Most memory that this process may hold when it evaluates; None for no limit.
    """
    # The driver decides what a Ctrl-C or a SIGTERM to the whole process group means for running jobs.
    for number in DRIVER_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    prefer_to_be_killed()
    threading.Thread(target=_die_with_driver, name="driver watch", daemon=True).start()
    sender = _Sender(connection)
    logging.root.handlers[:] = [sender]
    logging.root.setLevel(log_level)
    factory: EvaluatorFactory = pickle.loads(pickled_factory)  # noqa: S301 - our own driver wrote it
    try:
        evaluate = factory()
        if memory_bytes is not None:
            limit_memory(memory_bytes)
    except InvalidInputError as error:
        sender.send(Refused(str(error)))
        return
    _serve(connection, sender, evaluate)


def _serve(connection: Connection, sender: _Sender, evaluate: Evaluate) -> None:
    try:
        sender.send(Ready())
        while True:
            job: Job | None = connection.recv()
            if job is None:
                return
            sender.send(run_job(evaluate, job))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # The driver closed its end.


def _die_with_driver() -> None:
    """End this process as soon as the driver is gone, even in the middle of a job: nobody would take the outcome."""
    driver = multiprocessing.parent_process()
    assert driver is not None, "work() runs in a process started by multiprocessing"
    wait([driver.sentinel])
    os._exit(1)
