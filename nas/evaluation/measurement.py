"""`Measurement`: everything that was measured of one candidate, as plain data."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from nas.errors import invalid


@dataclass(frozen=True, slots=True)
class Measurement:
    """One candidate, measured. Field names are the columns of trials.csv; units end them.

    Fields with a default came later: journals of earlier runs lack them.

    Attributes:
        accuracy: Top-1 on the validation split, 0 to 1; higher is better.
        accuracy_stderr: Standard error of `accuracy` from the size of the validation split alone.
        train_loss: Mean training loss of the last tenth of the steps, lower is better.
        step_time_s: Median seconds of one training step (forward, loss, backward, optimizer); lower is better.
        step_time_spread_s: Interquartile range of the steps' seconds.
        relative_step_time: Median over blocks of the candidate's time / the reference's, timed in turn in one process.
        relative_step_time_spread: Interquartile range of those ratios.
        step_batch_size: Images in a timed step.
        step_image_size: Pixels a side of those images.
        num_params: Learnable parameters, with the data set's classes and channels.
        relative_params: `num_params` / the reference's.
        num_macs: Multiply-adds of one forward pass of one image at `step_image_size`.
        peak_memory_bytes: Most memory held while timing steps beyond what was held before; None where the platform
            does not tell.
        fidelity: As `Fidelity` writes it.
        seed: Seed of initialisation, data order and augmentation.
        device: For example "cpu" or "cuda:0".
        device_name: For example "NVIDIA H100".
        dtype: What convolutions computed in, for example "float32".
        torch_version: For example "2.14.1".
        train_s: Seconds spent in proxy training and validation.
        timing_s: Seconds spent in timing steps.
        wall_s: Seconds spent on the candidate in all.
        num_timings: How many times it was timed; twice where the first time was not what others let expect, 0 where its
            time is predicted.
        step_time_source: "measured", or for example "predicted on NVIDIA H100".
        step_time_error: Standard error of a predicted time as a fraction of it; None for a measured one.
    """

    accuracy: float
    accuracy_stderr: float
    train_loss: float
    step_time_s: float
    step_time_spread_s: float
    relative_step_time: float
    relative_step_time_spread: float
    step_batch_size: int
    step_image_size: int
    num_params: int
    relative_params: float
    num_macs: int
    peak_memory_bytes: int | None
    fidelity: str
    seed: int
    device: str
    device_name: str
    dtype: str
    torch_version: str
    train_s: float
    timing_s: float
    wall_s: float
    num_timings: int = 1
    step_time_source: str = "measured"
    step_time_error: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Measurement":
        """Read what `to_dict` wrote, now or earlier; raise InvalidInputError where it is from another version."""
        known = {f.name for f in fields(cls)}
        required = {f.name for f in fields(cls) if f.default is MISSING}
        differing = sorted((required - set(plain)) | (set(plain) - known))
        if differing:
            raise invalid(
                "measurement", "one of this version", differing, "Read the run with the version in its manifest."
            )
        return cls(**plain)
