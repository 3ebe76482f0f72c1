"""What an executor gives back."""

from dataclasses import dataclass, replace
from typing import Literal

from nas.evaluation.measurement import Measurement

FailureKind = Literal["out of memory", "diverged", "error", "timed out", "device error", "worker died"]


@dataclass(frozen=True, slots=True)
class Failure:
    """Attributes:
    kind: What went wrong, for counting.
    reason: What went wrong, in one line; it starts with the kind.
    """

    kind: FailureKind
    reason: str


Outcome = Measurement | Failure


def with_attempts(outcome: Measurement, number: int) -> Measurement:
    """Note on what was measured how many workers began on it; what other jobs bring has no such field."""
    return replace(outcome, num_attempts=number) if hasattr(outcome, "num_attempts") else outcome
