"""Runs one job and turns whatever goes wrong in it into a failed outcome, so that the search continues."""

import logging
import traceback
from pathlib import Path

from nas.errors import DivergedError
from nas.evaluation.device_error import is_device_error
from nas.evaluation.job import Evaluate, Job
from nas.evaluation.out_of_memory import is_out_of_memory
from nas.execution.job import Failure, FailureKind, Outcome

logger = logging.getLogger(__name__)

_MAX_MESSAGE = 300


def run_job(evaluate: Evaluate, job: Job) -> Outcome:
    """Evaluate a job; every Exception becomes a `Failure`, whose traceback goes to the log.

    This is the one place in the product that catches Exception: a candidate may fail in ways that nobody foresaw, and
    must not end the search. KeyboardInterrupt and SystemExit pass through.
    """
    try:
        return evaluate(job)
    except Exception as error:
        kind = _kind(error)
        reason = f"{kind}: {_one_line(error)}"
        # Running out of memory or diverging says something about the candidate; anything else may be a bug.
        level = logging.WARNING if kind in ("error", "device error") else logging.INFO
        logger.log(level, "Trial %d failed. %s", job.number, reason, exc_info=True)
        return Failure(kind, reason)


def _kind(error: Exception) -> FailureKind:
    if isinstance(error, DivergedError):
        return "diverged"
    if is_out_of_memory(error):
        return "out of memory"
    return "device error" if is_device_error(error) else "error"


def _one_line(error: Exception) -> str:
    message = " ".join(str(error).encode(errors="backslashreplace").decode().split())  # File names can be no text.
    if len(message) > _MAX_MESSAGE:
        message = f"{message[: _MAX_MESSAGE - 3]}..."
    innermost = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {message} ({Path(innermost.filename).name}:{innermost.lineno})"
