"""A job that a worker works on, and what happens to it where that worker is lost."""

from dataclasses import dataclass, replace

from nas.evaluation.job import Job
from nas.execution.job import Failure

MAX_ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class Attempt:
    """Attributes:
    job: What a worker is to do.
    number: From 1: how many workers have been given it.
    """

    job: Job
    number: int = 1

    def lost(self, failure: Failure) -> "Attempt | Failure":
        """Return the attempt that another worker is to make, or, if there were enough, how the job failed.

        Args:
            failure: How the worker was lost. After a hang the job begins anew: what was kept may be what it hung on.
        """
        if self.number >= MAX_ATTEMPTS:
            return replace(failure, reason=f"{failure.reason}, {self.number} attempts")
        return Attempt(replace(self.job, from_scratch=failure.kind == "timed out"), self.number + 1)
