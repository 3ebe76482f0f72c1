"""What an executor gives back."""

from dataclasses import dataclass
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
