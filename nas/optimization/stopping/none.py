"""Nothing is stopped."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from nas.evaluation.measurement import Measurement


@dataclass(frozen=True, slots=True)
class NoStopping:
    """Lets all trainings go on. With rungs it records what a rule would have seen. It is the rule, too."""

    rungs: tuple[float, ...] = ()
    validates: ClassVar[bool] = True

    def rule(self, measurements: Sequence[Measurement]) -> "NoStopping":  # noqa: ARG002
        return self

    def predict(self, measurement: Measurement) -> float | None:  # noqa: ARG002
        return None

    def stops(self, measurement: Measurement) -> bool:  # noqa: ARG002
        return False
