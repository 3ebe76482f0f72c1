"""A device's step times in a file: what was timed on it, and the predictor fitted to that. No torch."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from nas.errors import InvalidInputError, invalid
from nas.evaluation.step_features import StepShape
from nas.evaluation.step_predictor import StepTimePredictor
from nas.files import replace_file
from nas.spec import ArchSpec

FORMAT = "nas.device/1"

_QUARTILES = 1.349
"""Distance of the quartiles of a normal distribution, in standard deviations."""


@dataclass(frozen=True, slots=True)
class TimedNetwork:
    """A network and its times, as `nas.evaluation.step_time.StepTime` says them; lower is better."""

    spec: ArchSpec
    step_time_s: float
    step_time_spread_s: float
    relative_step_time: float
    relative_step_time_spread: float

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "spec": self.spec.to_dict()}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "TimedNetwork":
        return cls(**{**plain, "spec": ArchSpec.from_dict(plain["spec"])})


@dataclass(frozen=True, slots=True)
class DeviceTimings:
    """What was timed on a device, and how.

    Attributes:
        device_name: For example "NVIDIA H100".
        torch_version: For example "2.14.1".
        dtype: What convolutions computed in.
        mode: "eager", "compile" or "cuda-graph".
        shape: Of a step.
        reference: The network that relative step times refer to.
        timings: Of each network, in the order in which they were timed.
    """

    device_name: str
    torch_version: str
    dtype: str
    mode: str
    shape: StepShape
    reference: ArchSpec
    timings: tuple[TimedNetwork, ...] = ()

    def with_timing(self, timing: TimedNetwork) -> "DeviceTimings":
        return replace(self, timings=(*self.timings, timing))

    def without_timings(self) -> "DeviceTimings":
        return replace(self, timings=())

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; `from_dict` is the inverse."""
        return {
            "device_name": self.device_name,
            "torch_version": self.torch_version,
            "dtype": self.dtype,
            "mode": self.mode,
            "shape": asdict(self.shape),
            "reference": self.reference.to_dict(),
            "timings": [timing.to_dict() for timing in self.timings],
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "DeviceTimings":
        """Read what `to_dict` wrote; raise InvalidInputError, KeyError or TypeError for anything else."""
        return cls(
            **{
                **plain,
                "shape": StepShape(**plain["shape"]),
                "reference": ArchSpec.from_dict(plain["reference"]),
                "timings": tuple(TimedNetwork.from_dict(timing) for timing in plain["timings"]),
            }
        )

    def save(self, path: Path) -> None:
        """Write the timings as JSON in one step."""
        replace_file(path, json.dumps({"format": FORMAT, "measured": self.to_dict()}, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> "DeviceTimings":
        """Read the timings of a device, with or without a predictor; raise InvalidInputError if there are none."""
        return _timings(path, _read(path))


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """A device whose step times can be predicted.

    Attributes:
        measured: What the predictor was fitted to.
        predictor: Of step times relative to the reference's, which vary less than seconds while a machine works.
        reference_step_time_s: The reference network's.
        digest: Sixteen hexadecimal digits that change with the file's content.
    """

    measured: DeviceTimings
    predictor: StepTimePredictor
    reference_step_time_s: float
    digest: str = ""

    @classmethod
    def fit(cls, measured: DeviceTimings) -> "DeviceProfile":
        """Fit the predictor; raise InvalidInputError if too little was timed."""
        timings = measured.timings
        predictor = StepTimePredictor.fit(
            [timing.spec for timing in timings], [timing.relative_step_time for timing in timings], measured.shape
        )
        seconds = median(timing.step_time_s / timing.relative_step_time for timing in timings)
        return cls(measured, predictor, seconds)

    def reshaped(self, *, num_classes: int, in_channels: int) -> "DeviceProfile":
        """Return the profile for other data on the same device."""
        return replace(self, predictor=self.predictor.reshaped(num_classes=num_classes, in_channels=in_channels))

    def step_time(self, spec: ArchSpec, reference: ArchSpec) -> dict[str, Any]:
        """Predict the fields of a `Measurement` that say what a step takes on this device.

        The spreads are the quartiles' distance of what the prediction leaves possible.
        """
        predicted = self.predictor.predict(spec)
        relative = predicted.step_time / self.predictor.predict(reference).step_time
        seconds = predicted.step_time * self.reference_step_time_s
        return {
            "step_time_s": seconds,
            "step_time_spread_s": _QUARTILES * predicted.stderr * seconds,
            "relative_step_time": relative,
            "relative_step_time_spread": _QUARTILES * predicted.stderr * relative,
            "step_batch_size": self.predictor.shape.batch_size,
            "step_image_size": self.predictor.shape.image_size or spec.train_image_size,
            "peak_memory_bytes": None,
            "lease_wait_s": None,
            "num_timings": 0,
            "timing_device_name": self.measured.device_name,
            "step_dtype": self.measured.dtype,
            "step_mode": self.measured.mode,
            "step_kind": "training",
            "timing_source": f"predicted on {self.measured.device_name}",
            "timing_error_fraction": predicted.stderr,
        }

    def save(self, path: Path) -> None:
        """Write the profile as JSON in one step."""
        plain = {
            "format": FORMAT,
            "leave_one_out_error": self.predictor.error,
            "reference_step_time_s": self.reference_step_time_s,
            "predictor": self.predictor.to_dict(),
            "measured": self.measured.to_dict(),
        }
        replace_file(path, json.dumps(plain, indent=1) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "DeviceProfile":
        """Read a profile from JSON.

        Raises:
            InvalidInputError: If the file cannot be read, or is none or not complete.
        """
        path = Path(path)
        plain = _read(path)
        measured = _timings(path, plain)
        if "predictor" not in plain:
            raise invalid("device file", "complete", str(path), "Run nas.profile again to time what is missing.")
        try:
            predictor = StepTimePredictor.from_dict(plain["predictor"])
        except InvalidInputError as error:
            raise InvalidInputError(f"{path}: {error}") from error
        seconds = plain.get("reference_step_time_s")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
            raise invalid("reference_step_time_s", "above 0", seconds, f"{path} was edited.")
        return cls(measured, predictor, seconds, hashlib.sha256(path.read_bytes()).hexdigest()[:16])


def _read(path: Path) -> dict[str, Any]:
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise invalid("device file", "readable", str(path), f"{error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise invalid("device file", "JSON", str(path), f"It does not parse: {error}.") from error
    found = plain.get("format") if isinstance(plain, dict) else None
    if found != FORMAT:
        raise invalid("format of the device file", repr(FORMAT), found, f"Write {path} with nas.profile.")
    assert isinstance(plain, dict)
    return plain


def _timings(path: Path, plain: Mapping[str, Any]) -> DeviceTimings:
    try:
        return DeviceTimings.from_dict(plain["measured"])
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise invalid("device file", "as this version writes it", str(path), f"{error}.") from error
