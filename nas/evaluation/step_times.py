"""Where a candidate's step time comes from: timed on this machine, or predicted for another device."""

from dataclasses import dataclass
from typing import Any, Protocol

from nas.evaluation.device import device_name
from nas.evaluation.device_profile import DeviceProfile
from nas.evaluation.lease import Lease
from nas.evaluation.step_time import StepTime, StepTimer
from nas.evaluation.timing_history import TimingHistory
from nas.spec import ArchSpec


class StepTimes(Protocol):
    """Says what a training step of a network takes."""

    def __call__(self, spec: ArchSpec) -> dict[str, Any]:
        """Return those fields of a `Measurement` that say what a step takes, and how that is known."""


@dataclass(frozen=True, slots=True)
class MeasuredStepTimes:
    """Attributes:
    timer: Times steps, alone on the device.
    lease: On that device.
    history: What was timed so far; a time that it does not explain is taken twice.
    """

    timer: StepTimer
    lease: Lease
    history: TimingHistory

    def __call__(self, spec: ArchSpec) -> dict[str, Any]:
        waited_s = self.lease.waited_s
        found, num_timings = self.timer.find(spec), 0
        if found is None:
            # Building and warming up is work like any other; the timer takes the device alone for its blocks.
            with self.lease.shared():
                found, num_timings = self._measure(spec)
        self.history.add(spec, found.relative_step_time)
        return {
            **found.to_dict(),
            "lease_wait_s": self.lease.waited_s - waited_s,
            "num_timings": num_timings,
            "timing_device": str(self.timer.device),
            "timing_device_name": device_name(self.timer.device),
            "step_dtype": self.timer.dtype,
            "step_memory_format": self.timer.setup.memory_format,
            "step_mode": self.timer.setup.mode,
            "step_kind": self.timer.setup.kind,
            "timing_source": "measured",
        }

    def _measure(self, spec: ArchSpec) -> tuple[StepTime, int]:
        found = self.timer.measure(spec)
        if not self.history.is_suspicious(spec, found.relative_step_time):
            return found, 1
        found = min(found, self.timer.measure(spec), key=_width)
        self.timer.keep(spec, found)
        return found, 2


@dataclass(frozen=True, slots=True)
class PredictedStepTimes:
    """Attributes:
    target: The device that steps are predicted for.
    reference: The network that relative step times refer to.
    """

    target: DeviceProfile
    reference: ArchSpec

    def __call__(self, spec: ArchSpec) -> dict[str, Any]:
        return self.target.step_time(spec, self.reference)


def _width(found: StepTime) -> float:
    return (found.relative_step_time_high - found.relative_step_time_low) / found.relative_step_time
